"""Events that come to persons after a landmark, told from what was measured before it, at irregular times."""
