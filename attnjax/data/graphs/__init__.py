"""Graphs that are drawn, and the labels of their nodes."""
