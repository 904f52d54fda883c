"""Turning a model's predictions into sequences."""
