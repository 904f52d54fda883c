"""Choices that a layer learns or makes by its inputs, one file each."""
