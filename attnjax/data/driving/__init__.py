"""Scenes of traffic: by rules, or from files, as what cars see of each other."""
