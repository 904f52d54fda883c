"""Explanations that the tests of the viewer look at."""

import struct
import zlib

import numpy as np

from attnjax.explain.viewer import AttentionMap, Explanation, FaithfulnessRow, PatchImage, Saliency, graph_map

HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "\"'&amp;", " مرحبا", "\n", "", "\u200b", "a,b"]


def rows(rng: np.random.Generator, *shape: int, causal: bool = False) -> np.ndarray:
    """Random attention weights: rows sum to 1."""
    scores = 2.0 * rng.normal(size=shape)
    if causal:
        scores = np.where(np.tri(*shape[-2:]) > 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def read() -> Explanation:
    """Two layers of three heads over hostile tokens, and two attributions."""
    rng, size = np.random.default_rng(0), len(HOSTILE)
    maps = [
        AttentionMap(f"blocks.{i}.attention", HOSTILE, HOSTILE, rows(rng, 3, size, size)) for i in range(2)
    ]
    scores = rng.normal(size=size)
    measured = {"deletion AUC": FaithfulnessRow(0.3, 0.5, 0.1, 0.02)}
    found = [
        Saliency("rollout", HOSTILE, np.abs(scores)),
        Saliency("value zeroing", HOSTILE, scores, "label 1", measured),
    ]
    return Explanation("</script><b>", maps, found, subtitle="a small model")


def written() -> Explanation:
    """Four tokens of an encoder-decoder, with an attribution for each."""
    rng, source, chosen = np.random.default_rng(1), list("abcde"), list("wxyz")
    maps = [
        AttentionMap("encoder.0.attention", source, source, rows(rng, 2, 5, 5)),
        AttentionMap("decoder.0.cross_attention", chosen, source, rows(rng, 2, 4, 5), first_written=0),
    ]
    return Explanation("abcde", maps, [Saliency("gradient", source, rng.normal(size=(4, 5)))], written=chosen)


def pictured() -> Explanation:
    """Four patches and a class token."""
    names = ["[class]", "0,0", "0,1", "1,0", "1,1"]
    maps = [AttentionMap("blocks.0.attention", names, names, rows(np.random.default_rng(2), 1, 5, 5))]
    return Explanation("a picture", maps, image=PatchImage(png(np.full((8, 8, 3), 255, np.uint8)), 2, 2, 1))


def joined() -> Explanation:
    """A path of three nodes, whose edges have weights of both signs."""
    source, target, weights = np.array([0, 1]), np.array([1, 2]), np.array([[0.5, -0.25]])
    return Explanation("a path", [graph_map("layers.0.attention", "abc", source, target, weights)])


def png(pixels: np.ndarray) -> bytes:
    """An image [H, W, 3] of bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
