"""Masks whose positions and widths lie at the ends of int32 and beyond: nothing runs over."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj

LAST, FAR = 2**31 - 1, sys.maxsize
Q, K = np.ogrid[:4, :4]
ALL = np.ones((4, 4), bool)
CASES = {
    "causal": (aj.causal(LAST), ALL),
    "causal, beyond": (aj.causal(FAR), ALL),
    "causal, array": (aj.causal(jnp.int32(LAST)), ALL),
    "causal, numpy's array": (aj.causal(np.array(LAST)), ALL),
    "causal, before": (aj.causal(-FAR), ~ALL),
    "causal, array, before": (aj.causal(jnp.int32(-LAST - 1)), ~ALL),
    "window": (aj.sliding_window(FAR, 0), K <= Q),
    "window, far": (aj.sliding_window(1, FAR, LAST), ~ALL),
    "window, as far as it is wide": (aj.sliding_window(LAST, LAST, LAST), K >= Q),
    "window, array": (aj.sliding_window(LAST, LAST, jnp.int32(LAST)), K >= Q),
    "prefix": (aj.prefix(FAR), ALL),
    "lengths": (aj.lengths(FAR, FAR), ALL),
    "dilated": (aj.dilated(3, LAST), (Q + LAST - K) % 3 == 0),
    "dilated, array": (aj.dilated(3, jnp.int32(LAST)), (Q + LAST - K) % 3 == 0),
    "blocks": (aj.block_diagonal(FAR), ALL),
    "blocks, far": (aj.chunked_causal(2, LAST), ~ALL),
    "tokens": (aj.global_tokens([1], LAST), K == 1),
    "tokens, far": (aj.global_tokens([1, FAR]), (Q == 1) | (K == 1)),
    "tokens, many": (aj.global_tokens(range(2, FAR)), (Q > 1) | (K > 1)),
    "tokens, many, before": (aj.global_tokens(range(-FAR, 2)), (Q < 2) | (K < 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_runs_over_the_ends_of_int32(name):
    mask, literal = CASES[name]
    literal = np.broadcast_to(literal, (4, 4))
    np.testing.assert_array_equal(mask.materialize(4)[0], literal)
    kinds = np.asarray(mask.classify(4, 4, block_q=1, block_k=1))[0, 0]
    np.testing.assert_array_equal(kinds > 0, literal)
