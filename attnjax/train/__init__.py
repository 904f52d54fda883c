"""Floor 5: state, step, loop, optimiser, checkpoints, randomness."""
