"""The viewer: attention maps and attributions as one HTML file that needs nothing else. Free of jax."""

from attnjax.explain.viewer.contents import AttentionMap, FaithfulnessRow, PatchImage, Saliency
from attnjax.explain.viewer.explanation import Explanation, page
from attnjax.explain.viewer.graph import graph_map

__all__ = [
    "AttentionMap",
    "Explanation",
    "FaithfulnessRow",
    "PatchImage",
    "Saliency",
    "graph_map",
    "page",
]
