"""Floor 6: one run: its folder, its start and its end, what it left, what it can be asked."""
