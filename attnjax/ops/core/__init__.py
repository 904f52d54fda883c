"""The parts of every primitive: pairs of positions, pytree nodes, checks of arguments."""
