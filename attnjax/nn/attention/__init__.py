"""The attention layers, and their parts."""
