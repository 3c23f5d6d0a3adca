"""The way in for plugins. Read in this order: contracts, hookspecs, registry, loader, builtin."""
