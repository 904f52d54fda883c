"""Floor 2: what an experiment is: its name, its config, its identity. Free of jax."""
