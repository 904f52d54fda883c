"""Logs of who took what, and when: files, parts for training and tests, and a generated log."""
