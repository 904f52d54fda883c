"""Attributions of BERT, GPT-2 and Marian by their literal definitions in torch, on the same weights.

Heads, paths, attacks and what is left out have definitions in jax too, which run every day.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnjax.explain import (
    Question,
    Target,
    ablate_heads,
    ask,
    attribute,
    hot_flip,
    logit_lens,
    patch_paths,
    reduce_input,
)
from tests.daily import daily
from tests.explain.peers import CLASS, MASK, TOKENS, pair, same, value, words
from tests.pretrained.peers import Case, torch
from tests.pretrained.test_encoders import BERT
from tests.pretrained.test_seq2seq import CASES

STEPS = 6
MARIAN = dataclasses.replace(CASES["marian"], fields=CASES["marian"].fields | {"encoder_layers": 1})


@pytest.fixture(autouse=True)
def _single_precision() -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    with jax.enable_x64(False):
        fields = BERT | {"num_labels": 3}
        return pair(Case("BertForSequenceClassification", fields), tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    with jax.enable_x64(False):
        fields = {"n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 16}
        return pair(Case("GPT2LMHeadModel", fields), tmp_path_factory.mktemp("gpt2"))


def asked(ours: Any, target: int = CLASS) -> Question:
    return ask(ours, jnp.asarray(TOKENS), target=Target(target))


def gradient(theirs: Any, vectors: Any, of: Callable[[Any], Any] | None = None) -> Any:
    vectors = vectors.clone().requires_grad_()
    out = value(theirs, vectors) if of is None else of(vectors)
    return torch.autograd.grad(out.sum(), vectors)[0]


def loss(theirs: Any, vectors: Any) -> Any:
    return torch.nn.functional.cross_entropy(theirs(inputs_embeds=vectors).logits, torch.tensor([CLASS]))


def integrated(theirs: Any) -> Any:
    x = words(theirs)[TOKENS]
    start = words(theirs)[torch.full((1, 5), MASK)]
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    total = sum(
        w / 2 * gradient(theirs, start + (p + 1) / 2 * (x - start))
        for p, w in zip(places, weights, strict=True)
    )
    return ((x - start) * total).sum(-1)


def coalitions(theirs: Any) -> dict[tuple[bool, ...], float]:
    x, start = words(theirs)[TOKENS], words(theirs)[torch.full((1, 5), MASK)]
    every = list(itertools.product((False, True), repeat=5))
    with torch.no_grad():
        found = value(theirs, torch.where(torch.tensor(every)[..., None], x, start))
    return dict(zip(every, found.tolist(), strict=True))


def occluded(theirs: Any) -> np.ndarray:
    values, every = coalitions(theirs), (True,) * 5
    return np.array([[values[every] - values[tuple(j != i for j in range(5))] for i in range(5)]])


def shapley(theirs: Any) -> np.ndarray:
    values, found = coalitions(theirs), np.zeros((1, 5))
    for kept, before in values.items():
        for i in range(5):
            if not kept[i]:
                n = sum(kept)
                weight = math.factorial(n) * math.factorial(4 - n) / math.factorial(5)
                found[0, i] += weight * (values[(*kept[:i], True, *kept[i + 1 :])] - before)
    return found


def maps(attentions: Any) -> list[Any]:
    """(∇A ⊙ A)⁺ of the heads' mean, of attentions whose gradients are there."""
    return [(a.grad * a).clamp(min=0).mean(1)[0].detach() for a in attentions]


def relevance(theirs: Any) -> Any:
    """The rules for one stack, of the row that the head reads."""
    out = theirs(torch.tensor(TOKENS), output_attentions=True)
    for a in out.attentions:
        a.retain_grad()
    logits = out.logits
    (logits[0, CLASS] if logits.ndim == 2 else logits[0, -1, CLASS]).backward()
    r = torch.eye(5)
    for a in maps(out.attentions):
        r = r + a @ r
    return r[0 if logits.ndim == 2 else -1][None]


DEFINITIONS: dict[str, tuple[Callable[[Any], Any], dict[str, Any], dict[str, Any]]] = {
    "integrated_gradients": (integrated, {"steps": STEPS, "baseline": MASK}, {"baseline": MASK + 1}),
    "occlusion": (occluded, {"baseline": MASK}, {"baseline": MASK + 1}),
    "shapley": (shapley, {"baseline": MASK}, {"baseline": MASK + 1}),
    "kernel_shap": (shapley, {"baseline": MASK}, {"baseline": MASK + 1}),
    "chefer": (relevance, {}, {}),
}
"""Method -> its definition, our options, and changes of them that are bugs."""


@pytest.mark.parametrize("name", daily(DEFINITIONS, ["integrated_gradients", "chefer"]))
def test_bert_by_definition(bert: tuple[Any, Any], name: str) -> None:
    theirs, ours = bert
    definition, options, bug = DEFINITIONS[name]
    expected = definition(theirs)
    question = asked(ours)
    assert same(attribute(name, question, **options).scores, expected)
    planted = attribute(name, question if bug else asked(ours, 2), **options | bug)
    assert not same(planted.scores, expected)


def test_the_relevance_of_gpt2(gpt2: tuple[Any, Any]) -> None:
    theirs, ours = gpt2
    assert same(attribute("chefer", asked(ours)).scores, relevance(theirs))


def test_saliency_as_in_allennlp(bert: tuple[Any, Any]) -> None:
    theirs, ours = bert
    x = words(theirs)[TOKENS]

    def normalised(sums: Any) -> Any:
        return sums.abs() / sums.abs().sum()

    def by(vectors: Any) -> Any:
        return gradient(theirs, vectors, lambda vectors: loss(theirs, vectors))

    question = asked(ours)
    simple = normalised((by(x) * x).sum(-1))
    assert same(attribute("allennlp_simple", question).scores, simple)
    steps = sum(by(x * alpha) for alpha in np.linspace(0, 1, 10, endpoint=False)) / 10
    assert same(attribute("allennlp_integrated", question).scores, normalised((steps * x).sum(-1)))
    assert not same(attribute("allennlp_simple", question).scores, normalised(by(x).norm(dim=-1)))


def hooked(theirs: Any, changes: dict[int, Callable[[Any], Any]], tokens: np.ndarray = TOKENS) -> Any:
    """The logits where the joined heads of layers [B, T, D] are changed."""
    handles = [
        theirs.bert.encoder.layer[layer].attention.self.register_forward_hook(
            lambda module, args, out, change=change: (change(out[0]), *out[1:])
        )
        for layer, change in changes.items()
    ]
    try:
        with torch.no_grad():
            return theirs(torch.tensor(tokens)).logits[:, CLASS]
    finally:
        for handle in handles:
            handle.remove()


def put(head: int, other: Any) -> Callable[[Any], Any]:
    """The change of one head of 6 entries to what another array has there."""
    there = torch.arange(24) // 6 == head
    return lambda x: torch.where(there, torch.as_tensor(other, dtype=x.dtype), x)


@pytest.mark.slow
def test_heads_and_paths_against_hooks(bert: tuple[Any, Any]) -> None:
    theirs, ours = bert
    plain = hooked(theirs, {})
    expected = [[plain - hooked(theirs, {i: put(n, 0.0)}) for n in range(4)] for i in range(2)]
    assert same(ablate_heads(asked(ours)), expected)
    kept: dict[Any, Any] = {}
    other = TOKENS[:, ::-1].copy()
    for name, tokens in {"clean": TOKENS, "other": other}.items():
        hooked(theirs, {i: lambda x, i=i, name=name: kept.setdefault((name, i), x) for i in range(2)}, tokens)
    direct = [
        [
            hooked(theirs, {0: put(n, kept["other", 0]), 1: lambda x: kept["clean", 1]}) - plain
            for n in range(4)
        ],
        [hooked(theirs, {1: put(n, kept["other", 1])}) - plain for n in range(4)],
    ]
    question = asked(ours)
    found = patch_paths(question, question.with_tokens(jnp.asarray(other)))
    assert same(found, direct)
    total = [hooked(theirs, {0: put(n, kept["other", 0])}) - plain for n in range(4)]
    assert not same(found[0], total)


@pytest.mark.slow
def test_attacks_as_in_allennlp(bert: tuple[Any, Any]) -> None:
    theirs, ours = bert
    question = ask(ours, jnp.asarray(TOKENS))
    table, tokens = words(theirs), TOKENS[0].tolist()

    def step(tokens: list[int]) -> tuple[Any, int]:
        vectors = table[torch.tensor([tokens])].clone().requires_grad_()
        logits = theirs(inputs_embeds=vectors).logits
        own = torch.nn.functional.cross_entropy(logits, torch.tensor([answer]))
        return torch.autograd.grad(own, vectors)[0][0], int(logits.argmax())

    answer = int(question.target.index[0])
    g, found = step(tokens)
    flipped: list[int] = []
    while found == answer and len(flipped) < 5:
        sizes = [-1.0 if i in flipped else float(row @ row) for i, row in enumerate(g)]
        flipped.append(int(np.argmax(sizes)))
        tokens[flipped[-1]] = int(torch.argmax(table @ g[flipped[-1]]))
        g, found = step(tokens)
    ends = hot_flip(question)
    assert (ends.tokens, ends.changed, ends.succeeded) == (tokens, flipped, found != answer)

    current, candidates = TOKENS[0].tolist(), [TOKENS[0].tolist()]
    while len(current) > 1 and candidates:
        beams, candidates = candidates[:3], []
        for beam in beams:
            g, found = step(beam)
            if found != answer:
                continue
            current = beam
            order = torch.argsort(torch.linalg.norm(g, dim=-1), stable=True)[:3].tolist()
            candidates += [beam[:i] + beam[i + 1 :] for i in order if len(beam) > 1]
    assert reduce_input(question).tokens == current


def test_the_lens_of_gpt2(gpt2: tuple[Any, Any]) -> None:
    theirs, ours = gpt2
    with torch.no_grad():
        out = theirs(torch.tensor(TOKENS), output_hidden_states=True)
        below = theirs.lm_head(theirs.transformer.ln_f(out.hidden_states[1]))
    assert same(logit_lens(asked(ours)), torch.stack([below, out.logits]))


def test_relevance_across_an_encoder_and_a_decoder(tmp_path: Path) -> None:
    theirs, ours = pair(MARIAN, tmp_path)
    target = np.array([[0, 5, 9]])
    out = theirs(torch.tensor(TOKENS), decoder_input_ids=torch.tensor(target), output_attentions=True)
    parts = (out.encoder_attentions, out.decoder_attentions, out.cross_attentions)
    for part in parts:
        for a in part:
            a.retain_grad()
    out.logits[0, -1, CLASS].backward()
    encoder, own, cross = map(maps, parts)
    r_ii, r_qq, r_qi = torch.eye(5), torch.eye(3), torch.zeros(3, 5)

    def normalised(r: Any) -> Any:
        rest = r - torch.eye(len(r))
        return torch.nan_to_num(rest / rest.sum(-1, keepdim=True)) + torch.eye(len(r))

    for a in encoder:
        r_ii = r_ii + a @ r_ii
    for a, b in zip(own, cross, strict=True):
        r_qi, r_qq = r_qi + a @ r_qi, r_qq + a @ r_qq
        r_qi = r_qi + normalised(r_qq).T @ b @ normalised(r_ii)
    inputs = (jnp.asarray(TOKENS), jnp.array([5]), jnp.asarray(target))
    question = ask(ours, *inputs, target=Target(CLASS))
    assert same(attribute("chefer", question).scores, r_qi[-1:])
    own_tokens = ask(ours, *inputs, target=Target(CLASS), of="target")
    assert same(attribute("chefer", own_tokens).scores, r_qq[-1:])
    assert not same(attribute("chefer", question).scores, r_qi[:1])
