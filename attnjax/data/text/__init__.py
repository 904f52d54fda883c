"""Texts: corpora, tokenizers, the embedded dates."""
