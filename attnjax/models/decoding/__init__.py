"""Decoding of a model's predictions into sequences."""
