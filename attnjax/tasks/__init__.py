"""Floor 5: a task binds a data source, a model, a loss and metrics."""
