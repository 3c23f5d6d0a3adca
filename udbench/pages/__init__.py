"""Pages: boards as a static site and as Markdown, and the report of a run. Never torch, and nothing from a network."""
