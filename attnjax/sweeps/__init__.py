"""Floor 7: many runs: grids and searches, packs of trials, launchers, tables."""
