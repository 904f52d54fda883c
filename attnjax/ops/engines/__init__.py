"""How attention is computed. Each engine declares as data what it can do."""
