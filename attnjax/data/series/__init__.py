"""Series of persons: measurements and diagnoses at irregular times, and what came after them."""
