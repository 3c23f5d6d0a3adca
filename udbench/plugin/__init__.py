"""The plugin interface. Reading order: contracts, hookspecs, registry, loader, builtin."""
