"""Floor 1: pure functions on arrays. Imports jax and numpy only."""
