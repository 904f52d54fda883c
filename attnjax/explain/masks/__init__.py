"""Masks as pictures: which blocks of queries and keys an engine visits."""
