"""Numbers of molecules, and the atoms that they come from."""
