"""What every primitive is made of: pairs of positions, pytree nodes, checks of arguments."""
