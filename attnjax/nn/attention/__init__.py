"""The attention layer, and what it is made of."""
