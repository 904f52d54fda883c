"""Objects in images, found by queries that attend to them."""
