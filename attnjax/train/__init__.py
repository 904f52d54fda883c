"""Floor 6: state, step, loop, optimiser, checkpoints, randomness."""
