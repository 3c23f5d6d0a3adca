"""Small domains and networks for tests: the core's own, and those of plugin authors."""
