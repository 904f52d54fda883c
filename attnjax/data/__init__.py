"""Floor 3: data sources and pipelines. Knows nothing of models."""
