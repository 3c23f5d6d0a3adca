"""The core's own launchers: one run on several processes, and several runs side by side."""
