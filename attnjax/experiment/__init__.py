"""Floor 6: configs, registry, runs, store, provenance."""
