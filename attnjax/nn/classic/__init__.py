"""The parameters of the classic mechanisms, and layers of them."""
