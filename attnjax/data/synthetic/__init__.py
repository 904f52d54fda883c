"""Sequences that are made up, with a known best possible score."""
