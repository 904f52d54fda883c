"""The checks pass what is right and find what is planted."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from attnjax.mechanisms import table
from attnjax.nn import Attention, AttentionOutput
from attnjax.ops import masks
from attnjax.testing import CHECKS, Subject, conformance
from tests.daily import daily

A_LITTLE = 1e-3


@jax.custom_vjp
def steeper(x: jax.Array) -> jax.Array:
    """x, whose gradient is a hundredth too large."""
    return x


steeper.defvjp(lambda x: (x, None), lambda _, g: (1.01 * g,))


class Planted(nnx.Module):
    """An attention layer with one fault."""

    def __init__(self, fault: str, dim: int, heads: int, **options: Any) -> None:
        self.fault = fault
        self.layer = Attention(dim, heads, **options)
        self.empty_cache = self.layer.empty_cache

    def __call__(self, x: jax.Array, *, mask: Any = None, cache: Any = None) -> AttentionOutput:
        if self.fault == "padding":
            mask = masks.causal() if "causal" in repr(mask) or "window" in repr(mask) else None
        if self.fault == "segments":
            mask = masks.causal()
        found = self.layer(x, mask=mask, cache=cache)
        out, fault = found.out, self.fault
        if fault == "future":
            out = out + A_LITTLE * jnp.roll(x, -1, axis=1)
        elif fault == "gradient":
            out = steeper(out)
        elif fault == "decoding" and cache is not None:
            out = out + A_LITTLE * cache.length.mean()
        elif fault == "batch order":
            out = out + A_LITTLE * x.mean(0)
        elif fault == "head order":
            out = out + A_LITTLE * self.layer.query(x)[..., 0, :].sum(-1, keepdims=True)
        elif fault == "transforms" and not isinstance(x, jax.core.Tracer):
            out = out + A_LITTLE
        elif fault == "bfloat16" and out.dtype == jnp.bfloat16:
            out = 1.2 * out
        elif fault == "cost":
            out = out + 0 * jnp.einsum("btd,bsd->bts", x, x).sum(-1, keepdims=True)
        return found._replace(out=out)


@pytest.mark.parametrize("name", CHECKS)
def test_a_planted_fault_is_found(name: str) -> None:
    mechanism = "gla" if name == "cost" else "softmax"
    subject = Subject(partial(Planted, name, mechanism=mechanism), exponent=1 if name == "cost" else None)
    report = conformance(subject, checks=[name])
    (finding,) = report.failed
    assert finding.value is not None, str(report)
    assert finding.value > 2 * CHECKS[name].bound, str(report)
    with pytest.raises(AssertionError, match=f"{name} *failed"):
        report.require()


@pytest.mark.parametrize("mechanism", daily(["softmax", "gla"], ["softmax"]))
def test_without_a_fault_all_pass(mechanism: str) -> None:
    told: list[str] = []
    report = conformance(mechanism, progress=told.append)
    report.require()
    assert {finding.verdict for finding in report.findings} == {"passed"}, str(report)
    assert told == list(CHECKS)


def test_a_recurrence_costs_what_it_promises() -> None:
    conformance("gla", checks=["cost"]).require()


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", [name for name, row in table().items() if row.takes == "tokens"])
def test_every_mechanism_keeps_its_promises(mechanism: str) -> None:
    conformance(mechanism).require()


@pytest.mark.parametrize(
    "mechanism", daily(["window", "sink", "alibi", "forget_gate", "lightning", "mesa"], ["forget_gate"])
)
def test_recipes_and_others_decode_as_they_read_at_once(mechanism: str) -> None:
    conformance(mechanism, checks=["future", "decoding", "head order"]).require()


def test_what_does_not_apply_says_why() -> None:
    report = conformance(Subject(Attention, heads_differ=True), checks=["head order", "cost"])
    assert [finding.verdict for finding in report.findings] == ["not applicable"] * 2
    assert "heads differ" in str(report)


def test_heads_of_a_layer_that_names_no_axes_are_left_in_order() -> None:
    class Plain(nnx.Module):
        def __init__(self, dim: int, heads: int, *, param_dtype: Any, rngs: nnx.Rngs, **_: Any) -> None:
            self.linear = nnx.Linear(dim, dim, param_dtype=param_dtype, rngs=rngs)

        def __call__(self, x: jax.Array, *, mask: Any = None, cache: Any = None) -> AttentionOutput:
            return AttentionOutput(self.linear(x), None, None)

    report = conformance(Plain, checks=["future", "head order"])
    assert [finding.verdict for finding in report.findings] == ["passed", "not applicable"], str(report)


def test_a_layer_that_raises_fails_with_its_reason() -> None:
    def make(dim: int, heads: int, **options: Any) -> Any:
        raise RuntimeError("no such thing")

    (finding,) = conformance(Subject(make), checks=["future"]).findings
    assert (finding.verdict, finding.where) == ("failed", "RuntimeError: no such thing")


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ValueError, match="checks: 'futur' is none, expected some of future, padding"):
        conformance(Attention, checks=["futur"])
