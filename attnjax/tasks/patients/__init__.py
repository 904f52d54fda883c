"""What comes to persons after a landmark, from what was measured before it at irregular times."""
