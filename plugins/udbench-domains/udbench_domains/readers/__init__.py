"""One reader for each domain: `open_folder(root)` turns the domain's folder into a Source."""
