"""What `normalize=False` gives: parts over other keys, which make the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from tests.contracts.attention_cases import SHAPES, Engine, close, inputs

SHAPE = SHAPES[0]
MASKS = aj.causal(1) & aj.prefix(4), aj.causal(1) & ~aj.prefix(4)


def merged(parts):
    """As devices in a ring would, with the log-sum-exp."""
    top = jnp.maximum(parts[0][1], parts[1][1])
    shares = [jnp.exp(highest - top) for _, highest, _ in parts]
    total = sum(share * part[2] for share, part in zip(shares, parts, strict=True))
    acc = sum(jnp.moveaxis(x, 1, 2)[..., None] * part[0] for x, part in zip(shares, parts, strict=True))
    return acc / jnp.moveaxis(total, 1, 2)[..., None], top + jnp.log(total)


class Parts(Engine):
    @pytest.mark.parametrize("shift", [0.0, -1e8])
    def test_unnormalised_parts_make_the_whole_however_far_the_scores_lie_from_0(self, shift):
        """With its gradients, in which those of the maxima have no part."""
        args, sink = inputs(SHAPE), None if shift else jnp.arange(4.0)
        options = {"bias": jnp.full(SHAPE[2], shift), "scale": 0.3}

        def parts(*args):
            normalizers = aj.softmax(sink), None
            return [
                self.attend(*args, mask=m, normalizer=n, normalize=False, **options)
                for m, n in zip(MASKS, normalizers, strict=True)
            ]

        def whole(*args):
            return self.attend(
                *args, mask=aj.causal(1), normalizer=aj.softmax(sink), return_lse=True, **options
            )

        def gradient(run):
            """Returns it, and beside it what run returns."""

            def loss(*args):
                out, lse = run(*args)
                return jnp.sum(jnp.sin(out)), (out, lse)

            return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(*args)

        jax.tree.map(close, gradient(lambda *x: merged(parts(*x))), gradient(whole))

    def test_the_maximum_and_the_sum_are_those_of_the_scores_of_a_row(self):
        args = inputs(SHAPE, jnp.bfloat16)
        acc, highest, total = self.attend(*args, mask=MASKS[1], normalize=False)
        assert acc.dtype == highest.dtype == total.dtype == jnp.float32
        query, key, value = (np.asarray(x, np.float64) for x in args)
        scores = np.einsum("btkgh,bskh->bkgts", query.reshape(2, 7, 2, 2, 8), key).reshape(2, 4, 7, 10)
        scores = np.where(MASKS[1].materialize(7, 10), scores / np.sqrt(8), -np.inf)
        close(highest, scores.max(-1))
        weights = np.exp(scores - np.where(np.isneginf(scores.max(-1)), 0, scores.max(-1))[..., None])
        close(total, weights.sum(-1))
        close(acc, np.einsum("bkgts,bskv->btkgv", weights.reshape(2, 2, 2, 7, 10), value).reshape(acc.shape))
        assert np.isneginf(highest[:, :, :3]).all()  # Rows without a key: 0, -inf, 0.
        assert not np.any(total[:, :, :3])
        assert not np.any(acc[:, :3])
