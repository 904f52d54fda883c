"""The engines that compute attention. Each declares as data what it can do."""
