"""The conformance kit: what `udbench check` asks of a plugin, one question after another."""
