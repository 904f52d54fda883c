"""Observers of a run that trains: the progress bar, and services that show runs."""
