"""Attention and recurrences over the shards of 8 CPU devices are those of whole sequences, to 1e-10.

In processes of their own, since jax counts its devices once: tests/ops/context/on_devices.py.
"""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import attnjax as aj
from attnjax.ops.context.layout import ShardLayout

slow = pytest.mark.slow


def on_devices(*arguments: str) -> None:
    command = [sys.executable, "-m", "tests.ops.context.on_devices", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


# A program for all kinds of masks, scores and the like at once; slow tests have each on its own.
DAILY = [
    ("masks", "ring", "4", "contiguous", "values", "square causal"),
    ("masks", "all_gather", "8", "zigzag", "gradients", "each kind"),
    ("options", "ring", "4", "zigzag", "each kind"),
    ("options", "all_gather", "4", "contiguous", "dropout", "stick breaking"),
    ("members", "8", "gradients", "gated_delta_net"),
    ("members", "8", "values", "gla"),
    ("hops",),
    ("kept",),
]


def test_in_one_process_all_kinds_are_those_of_whole_sequences():
    """Nor is a hop taken that the mask leaves empty, nor are keys of other devices kept."""
    on_devices(*(word for check in DAILY for word in (*check, "+")))


@slow
@pytest.mark.parametrize(
    "way",
    [
        ("ring", "8", "contiguous", "gradients"),
        ("ring", "4", "zigzag", "gradients"),
        ("all_gather", "8", "contiguous", "gradients"),
        ("all_gather", "2", "zigzag", "gradients"),
    ],
)
def test_every_mask_is_that_of_whole_sequences(way):
    on_devices("masks", *way)


@slow
@pytest.mark.parametrize(
    "way",
    [
        ("ring", "4", "contiguous"),
        ("ring", "8", "zigzag"),
        ("all_gather", "8", "contiguous"),
        ("all_gather", "4", "zigzag"),
    ],
)
def test_scores_biases_normalisers_and_dropout_are_those_of_whole_sequences(way):
    on_devices("options", *way)


@slow
def test_states_go_from_shard_to_shard_of_the_linear_family():
    on_devices("members", "8", "gradients")


@slow
def test_decoding_with_a_cache_in_shards():
    on_devices("decoding", "8")


@slow
def test_inside_of_a_shard_map_with_and_without_checked_axes():
    on_devices("inside", "4")


@slow
def test_on_meshes_with_explicit_axes():
    on_devices("explicit")


@slow
def test_tangents_and_second_derivatives():
    on_devices("forward", "dropout", "sink", "score_fn")


def x_of(length: int = 8, keys: int | None = None) -> tuple[jax.Array, ...]:
    key = jnp.ones((keys or length, 1, 2))
    return jnp.ones((length, 1, 2)), key, key


def plan(length: int = 8, keys: int | None = None, **given):
    return aj.plan_context_attention(*x_of(length, keys), **{"shards": 4, **given})


def test_zigzag_gives_every_device_as_many_pairs_of_a_causal_mask():
    places = ShardLayout("context", 4, "zigzag").order_of(32).reshape(4, 8)
    pairs = (places + 1).sum(1)
    assert (pairs == pairs[0]).all()
    dealt = aj.to_zigzag(jnp.arange(64).reshape(2, 32), 4, axis=1)
    assert (dealt[0] == places.reshape(-1)).all()
    assert (aj.from_zigzag(dealt, 4, axis=1) == jnp.arange(64).reshape(2, 32)).all()


def test_the_strategy_is_chosen_by_what_is_sent():
    query, key = jnp.ones((16, 8, 2)), jnp.ones((16, 1, 2))
    few = aj.plan_context_attention(query, key, key, shards=4)
    assert (few.strategy, few.sends) == ("all_gather", 3)
    assert few.reason.startswith("all keys and values, 64 numbers, are no more than")
    assert aj.plan_context_attention(query, query, query, shards=4).strategy == "ring"
    window = aj.plan_context_attention(query, key, key, shards=4, mask=aj.sliding_window(4, 0))
    assert (window.strategy, window.hops) == ("ring", (0, 1))
    assert plan(normalizer=aj.sparsemax()).strategy == "all_gather"
    assert plan(strategy="all_gather").reason == "asked for"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"length": 10},
            "T = 10 tokens over mesh axis 'context' of 4 devices: expected a multiple of 4 chunks",
        ),
        (
            {"length": 12, "order": "zigzag"},
            "T = 12 tokens .* multiple of 8 chunks .in zigzag order 2 for each device., as 16 is",
        ),
        ({"keys": 6}, "S = 6 tokens"),
        ({"strategy": "tree"}, "strategy is 'tree': expected None or one of 'ring', 'all_gather'"),
        ({"order": "striped"}, "order is 'striped': expected one of 'contiguous', 'zigzag'"),
        (
            {"strategy": "ring", "normalizer": aj.sparsemax()},
            "strategy 'ring' can't do this: sparsemax needs whole rows",
        ),
        ({"mask": aj.segments(jnp.zeros(5, jnp.int32))}, "segments query_ids has shape .5.: expected .8."),
        ({"mask": aj.neighborhood((2, 2), 1)}, "is for 4 tokens: got T=8"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given, message):
    with pytest.raises(ValueError, match=message) as refused:
        plan(**given)
    assert "\n" not in str(refused.value)


def one_device(axis: str = "context"):
    return jax.make_mesh((1,), (axis,), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.parametrize("function", [aj.context_attention, aj.context_decode])
def test_a_mesh_without_the_axis_is_refused(function):
    with pytest.raises(ValueError, match="axis is 'context': expected an axis of the mesh, 'model'"):
        function(*x_of(), mesh=one_device("model"))
    with pytest.raises(
        ValueError, match=r"expected an axis of the mesh, none: give mesh=, or call jax\.set_mesh"
    ):
        function(*x_of())
    with pytest.raises(TypeError, match=r"mesh is 3: expected a jax\.sharding\.Mesh"):
        function(*x_of(), mesh=3)


def test_decoding_refuses_what_needs_whole_rows():
    with pytest.raises(ValueError, match="normalizer is entmax, which needs whole rows"):
        aj.context_decode(*x_of(), mesh=one_device(), normalizer=aj.entmax(1.5))


def test_a_comparison_with_numbers_of_tokens_is_refused_inside():
    from attnjax.ops.comparisons import rbf

    spec = jax.sharding.PartitionSpec("context")
    run = jax.shard_map(
        lambda *x: aj.context_attention(*x, comparison=rbf(1.0)),
        mesh=one_device(),
        in_specs=(spec,) * 3,
        out_specs=spec,
    )
    with pytest.raises(ValueError, match="numbers of its own for each token: expected whole"):
        run(*x_of())


@pytest.mark.parametrize("name", ["cosformer", "gated_slot", "log_linear", "mesa"])
def test_members_that_look_beyond_their_state_refuse_shards(name):
    from tests.ops.linear.member_cases import MEMBERS, draw

    case = draw(name)
    first, second, third = (case.tokens.pop(n) for n in ("query", "key", "value"))
    with pytest.raises(ValueError, match="axis is 'context': expected None, "):
        MEMBERS[name].function(
            first, second, third, **case.tokens, **case.parameters, **case.fixed, axis="context"
        )


def test_recurrences_name_what_does_not_fit():
    x = jnp.ones((4, 1, 2))
    tokens = {"query": x, "key": x, "value": x}
    with pytest.raises(ValueError, match=r"axis is 'context': expected the mesh axis of a jax\.shard_map"):
        aj.linear_attention(x, x, x, axis="context")
    with pytest.raises(ValueError, match=r"decay has shape \[1\]: expected 4 tokens on axis 0 .\*B, T, ….:?"):
        aj.context_recurrence(aj.linear_attention, {**tokens, "decay": jnp.zeros(1)}, mesh=one_device())
    with pytest.raises(ValueError, match="expected a query"):
        aj.context_recurrence(aj.linear_attention, {"key": x}, mesh=one_device())
