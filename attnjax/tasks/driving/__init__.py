"""Futures of cars that see each other."""
