"""The core's launchers: a run in several processes, and several runs at once."""
