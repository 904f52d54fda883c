"""One file for each family of pretrained models, named after the `model_type` of its config.json."""
