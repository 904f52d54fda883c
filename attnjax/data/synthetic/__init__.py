"""Sequences that are made up, whose best possible score is known."""
