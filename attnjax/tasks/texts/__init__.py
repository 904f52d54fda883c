"""Texts with labels: classes and numbers, and what simple baselines make of them."""
