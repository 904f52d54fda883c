"""Every form equals the recurrence written token by token in NumPy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnjax as aj
from attnjax.ops.linear.attention import linear_recurrence
from attnjax.ops.linear.triangular import unit_lower_inverse
from tests.daily import daily
from tests.ops.linear.linear_cases import DECAYS, LENGTHS, SEGMENTS, STATE, TERMS, assert_close, draw, literal

pytestmark = pytest.mark.usefixtures("x64")

FORMS = {"recurrent": {"form": "recurrent"}, "parallel": {"form": "parallel"}} | {
    f"chunks of {size}": {"form": "chunked", "chunk_size": size} for size in (1, 3, 16, 64)
}
ROUND = {"initial_state": STATE, "segment_ids": SEGMENTS, "lengths": LENGTHS}


# The parallel form has nothing to erase.
PAIRS = [(form, terms) for form in FORMS for terms in TERMS if form != "parallel" or terms == "nothing"]


# Decays per channel are the most general ones; chunks of 3 cut everything.
MEET = [
    *((form, "per channel", terms) for form, terms in PAIRS),
    *((f, d, t) for f, t in PAIRS for d in DECAYS[:-1] if f in ("recurrent", "parallel", "chunks of 3")),
]


# All that a form treats in another way; that all of it meets all of it is slow to say.
EVERY_DAY = [
    (form, decay, terms)
    for form, decay, terms in MEET
    if form == "parallel"
    or (form == "chunks of 3" and (decay == "per channel" or terms == "erased elsewhere"))
    or (terms == "erased elsewhere" and decay == "per channel" and form != "chunks of 1")
]
THREE_FORMS = ("recurrent", "parallel", "chunks of 16")


@pytest.mark.parametrize(("form", "decay", "terms"), daily(MEET, EVERY_DAY))
def test_a_form_equals_the_loop(form, decay, terms):
    args = draw(decay, **TERMS[terms])
    got = linear_recurrence(**args, **ROUND, **FORMS[form])
    assert_close(got, literal(**args, **ROUND))


@pytest.mark.parametrize(
    ("form", "terms"),
    daily(
        PAIRS,
        [("parallel", "nothing"), ("recurrent", "erased elsewhere"), *(("chunks of 3", t) for t in TERMS)],
    ),
)
def test_the_state_before_a_token_can_be_read(form, terms):
    args = draw("per channel", **TERMS[terms])
    got = linear_recurrence(**args, **ROUND, **FORMS[form], read="before")
    assert_close(got, literal(**args, **ROUND, read="before"))


@pytest.mark.parametrize("form", daily(FORMS, THREE_FORMS))
def test_without_a_state_segments_or_padding(form):
    args = draw("none", erase=form != "parallel")
    assert_close(linear_recurrence(**args, **FORMS[form]), literal(**args))


@pytest.mark.parametrize(
    ("form", "length"),
    daily(
        [(form, length) for form in FORMS for length in (1, 16, 17)],
        [*((form, 17) for form in THREE_FORMS), *(("chunks of 16", length) for length in (1, 16))],
    ),
)
def test_any_length(form, length):
    args = draw("per channel", sizes=(1, length, 1, 1, 4, 2))
    assert_close(linear_recurrence(**args, **FORMS[form]), literal(**args))


@pytest.mark.parametrize("form", daily(FORMS, THREE_FORMS))
def test_one_decay_for_all_heads(form):
    args = draw("none")
    one = linear_recurrence(**args, **FORMS[form], decay=-0.3)
    assert_close(one, literal(**args, decay=np.full(args["key"].shape[:-1], -0.3)))


@pytest.mark.parametrize("terms", daily(TERMS, ["erased elsewhere"]))
def test_groups_of_chunks_follow_each_other(terms, monkeypatch):
    monkeypatch.setattr("attnjax.ops.linear.chunked.CPU_GROUP", 8)
    args = draw("per channel", **TERMS[terms], sizes=(1, 29, 1, 2, 4, 3))
    assert_close(linear_recurrence(**args, form="chunked", chunk_size=4), literal(**args))


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize(
    ("terms", "decay"),
    daily(
        [*((terms, "per channel") for terms in TERMS), *(("erased", decay) for decay in DECAYS[:-1])],
        [("nothing", "per channel"), ("erased elsewhere", "per channel"), ("erased", "per head")],
    ),
)
def test_chunks_composed_in_pairs_equal_the_loop(terms, decay, monkeypatch):
    monkeypatch.setattr("attnjax.ops.linear.chunked.ACCELERATOR_GROUP", 24)
    args = draw(decay, **TERMS[terms])
    assert_close(linear_recurrence(**args, **ROUND, chunk_size=4), literal(**args, **ROUND))


@pytest.mark.parametrize("form", daily(FORMS, THREE_FORMS))
def test_decays_may_forget_everything(form):
    args = draw("per channel", strength=3)
    args["decay"][:, ::5] = -np.inf
    args["decay"][:, 1::7, :, :2] = -np.inf
    assert_close(linear_recurrence(**args, **FORMS[form]), literal(**args))


@pytest.mark.parametrize(
    ("decay", "terms"),
    daily([("per head", "erased elsewhere"), ("per channel", "nothing")], [("per head", "erased elsewhere")]),
)
def test_prefill_and_decoding_are_one_pass(decay, terms):
    args = draw(decay, **TERMS[terms])
    out, state = aj.linear_attention(**args, return_state=True)
    outs, now = [], None
    for start, stop in ((0, 20), (20, 30), *((i, i + 1) for i in range(30, 37))):
        part = {
            name: x if name == "decay" and decay == "per head" else x[:, start:stop]
            for name, x in args.items()
        }
        got, now = aj.linear_attention(**part, initial_state=now, return_state=True)
        outs.append(got)
    assert_close((np.concatenate(outs, axis=1), now), (out, state))


def test_a_segment_is_as_if_it_stood_alone():
    args = draw("per token", erase=True)
    out = aj.linear_attention(**args, segment_ids=SEGMENTS)
    span = slice(5, 25)
    alone = aj.linear_attention(**{name: x[:, span] for name, x in args.items()})
    np.testing.assert_allclose(out[:, span], alone, atol=1e-10)


@pytest.mark.parametrize("form", ["recurrent", "chunked", "parallel"])
def test_nothing_of_a_segment_reaches_the_next_in_float32(form):
    args = draw("per token", erase=form != "parallel")
    args = {name: x.astype(np.float32) for name, x in args.items()}
    louder = args | {"value": np.where(np.arange(37)[:, None, None] < 5, 1e6, args["value"])}
    outs = [aj.linear_attention(**x, segment_ids=SEGMENTS, form=form) for x in (args, louder)]
    np.testing.assert_array_equal(*(out[:, 5:] for out in outs))


def test_axes_of_the_batch_may_be_none_or_many():
    args = draw("per token", erase=True, sizes=(6, 9, 2, 1, 4, 3))
    out, state = linear_recurrence(**args, segment_ids=jnp.arange(9) // 4, lengths=7)
    folded = {name: x.reshape(2, 3, *x.shape[1:]) for name, x in args.items()}
    got = linear_recurrence(**folded, segment_ids=jnp.arange(9) // 4, lengths=jnp.full((2, 1), 7))
    assert_close(got, (out.reshape(2, 3, *out.shape[1:]), state.reshape(2, 3, *state.shape[1:])))
    one = linear_recurrence(
        **{name: x[0] for name, x in args.items()}, segment_ids=jnp.arange(9) // 4, lengths=7
    )
    assert_close(one, (out[0], state[0]))


@pytest.mark.parametrize("size", [1, 2, 7, 20, 64])
def test_the_inverse_of_any_size(size):
    strict = np.tril(np.random.default_rng(0).normal(size=(size, size)), -1) / np.sqrt(size)
    expected = np.linalg.inv(np.eye(size) + strict)
    np.testing.assert_allclose(jax.jit(unit_lower_inverse)(strict), expected, atol=1e-12)
