"""A trained run behind a small HTTP server."""
