"""Metrics, by field."""
