"""Floor 7: leaving this machine."""
