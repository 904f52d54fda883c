"""What does not fit is refused before any work, by name, with what came and what was expected."""

import jax
import jax.numpy as jnp
import pytest

import attnjax as aj

X = jnp.ones((2, 6, 4, 8))
KEY, VALUE = jnp.ones((2, 6, 2, 8)), jnp.ones((2, 6, 2, 3))
GOOD = {"query": X, "key": KEY, "value": VALUE}
BAD_VALUES = {
    "a batch of its own": ({"query": X[:1]}, "batch axes"),
    "another length": ({"key": KEY[:, :5]}, "lengths T differ"),
    "other heads of values": ({"value": X}, "differ in K"),
    "another head size": ({"key": KEY[..., :7]}, "head size H"),
    "heads not divisible": ({"query": X[:, :, :3]}, "not divisible by K = 2"),
    "too few axes": ({"query": X[0, 0]}, "query has shape .*at least 3 axes"),
    "a decay above 0": ({"decay": jnp.array([0.1, -1.0])}, "decay reaches up to 0.1: .* at most 0"),
    "a decay per query head": ({"decay": -jnp.ones(4)}, r"decay has shape \[4\]: expected a scalar, \[2\]"),
    "a scalar decay above 0": ({"decay": 0.1}, "decay reaches up to 0.1"),
    "a decay of another length": ({"decay": -jnp.ones((2, 5, 2))}, "decay has shape"),
    "a decay of values": ({"decay": -jnp.ones((2, 6, 2, 3))}, "decay has shape"),
    "a decay of too many axes": ({"decay": -jnp.ones((1, 2, 6, 2, 8))}, "decay has shape"),
    "erase of queries": ({"erase": X}, r"erase has shape \[2, 6, 4, 8\]: expected \[2, 6, 2, 8\]"),
    "write of values": ({"erase": KEY, "write": VALUE}, "write has shape"),
    "write alone": ({"write": KEY}, "write is given but erase is None"),
    "another state": ({"initial_state": jnp.ones((2, 4, 8, 3))}, r"initial_state .* expected \[2, 2, 8, 3\]"),
    "other segments": ({"segment_ids": jnp.ones((2, 5), int)}, "segment_ids has shape"),
    "other lengths": ({"lengths": jnp.array([1, 2, 3])}, "lengths has shape"),
    "an unknown form": ({"form": "fast"}, "form is 'fast': expected one of 'recurrent'"),
    "parallel with erase": ({"form": "parallel", "erase": KEY}, "form is 'parallel' with erase"),
    "no chunk": ({"chunk_size": 0}, "chunk_size is 0: expected at least 1"),
    "chunks of the recurrent form": ({"form": "recurrent", "chunk_size": 4}, "chunk_size is 4 with form"),
    "a scale per head": ({"scale": jnp.ones(4)}, "scale has shape"),
}
BAD_TYPES = {
    "whole queries": ({"query": X.astype(int)}, "query is an array of int32"),
    "a word": ({"value": "word"}, "value is 'word'"),
    "whole decays": ({"decay": jnp.zeros(2, int)}, "decay is an array of int32"),
    "lengths of floating point": ({"lengths": jnp.array([1.0, 2.0])}, "lengths is an array of float32"),
    "segments of booleans": ({"segment_ids": jnp.ones((2, 6), bool)}, "segment_ids is an array of bool"),
    "half a chunk": ({"chunk_size": 0.5}, "chunk_size is 0.5: expected a Python int"),
    "a scale in words": ({"scale": "big"}, "scale is 'big'"),
    "a whole state": ({"initial_state": jnp.ones((2, 2, 8, 3), int)}, "initial_state is an array of int32"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_is_refused(name):
    bad, message = BAD_VALUES[name]
    with pytest.raises(ValueError, match=message):
        aj.linear_attention(**(GOOD | bad))


@pytest.mark.parametrize("name", BAD_TYPES)
def test_a_bad_type_is_refused(name):
    bad, message = BAD_TYPES[name]
    with pytest.raises(TypeError, match=message):
        aj.linear_attention(**(GOOD | bad))


def test_a_decay_above_0_is_seen_inside_jit_where_it_is_known():
    with pytest.raises(ValueError, match="decay reaches up to"):
        jax.jit(lambda x: aj.linear_attention(x, KEY, VALUE, decay=jnp.asarray(POSITIVE)))(X)


POSITIVE = jnp.array([0.5, 0.0])


def test_an_unknown_name_is_refused_by_the_function_called():
    with pytest.raises(TypeError, match=r"linear_attention.* 'dekay'"):
        aj.linear_attention(**GOOD, dekay=None)
