"""Tables of persons: numbers and classes, and what is missing."""
