"""Recommendation: what a user takes next, ranked among all items."""
