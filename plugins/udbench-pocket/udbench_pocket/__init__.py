"""Ten small visual domains that need no download: the default suite of udbench."""
