"""Attributions: which tokens a number of the output comes from, by many methods with one interface."""

from attnjax.explain.attributions import attention, gradients, perturbation, relevance, saliency, values
from attnjax.explain.attributions.attribution import METHODS, Attribution, Method, attribute, require_known

__all__ = [
    "METHODS",
    "Attribution",
    "Method",
    "attention",
    "attribute",
    "gradients",
    "perturbation",
    "relevance",
    "require_known",
    "saliency",
    "values",
]
