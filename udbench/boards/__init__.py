"""From results to tables that can be trusted. Never imports torch."""
