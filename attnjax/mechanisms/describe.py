"""Mechanisms as text for the terminal and as the page of the documentation. Free of jax."""

from collections.abc import Callable, Iterator

from attnjax.mechanisms.base import (
    NO_POOL,
    SENTENCES,
    TAKES,
    Layer,
    Mechanism,
    Paper,
    Recipe,
    Recurrence,
    Takes,
)
from attnjax.mechanisms.catalogue import table
from attnjax.mechanisms.recipes import NOT_IN_A_CONFIG

_HEADINGS: dict[str, Callable[[Mechanism], bool]] = {
    "softmax attention": lambda row: not isinstance(row, (Recipe, Recurrence, Layer)),
    "masks": lambda row: isinstance(row, Recipe) and row.role == "mask",
    "comparisons": lambda row: isinstance(row, Recipe) and row.role == "comparison",
    "scores": lambda row: isinstance(row, Recipe) and row.role == "score",
    "normalisers": lambda row: isinstance(row, Recipe) and row.role == "normalizer",
    "gates of heads": lambda row: isinstance(row, Recipe) and row.role == "gate",
    "recurrences": lambda row: isinstance(row, Recurrence),
    "layers": lambda row: _is_layer(row, "tokens"),
    "layers that read a context": lambda row: _is_layer(row, "context"),
    "layers that pool a set": lambda row: _is_layer(row, "pool"),
    "layers of images": lambda row: _is_layer(row, "image"),
    "layers of graphs": lambda row: _is_layer(row, "graph"),
    "layers over depth": lambda row: _is_layer(row, "depth"),
    "layers of your own": lambda row: isinstance(row, Layer) and bool(row.place),
}
_SIZES: dict[Takes, str] = {
    "context": "a head in T tokens that read S",
    "pool": "a head in a set of S",
    "image": "a head in T places of an image",
    "graph": "a head in T edges",
    "depth": "a token under T layers",
}
_USED: dict[Takes, str] = {
    "image": "`model.mechanism` of a `VisionConfig` without class token and registers",
    "graph": "`model.mechanism` of a `GraphConfig`",
    "pool": "`model.pooling` of an `EncoderConfig`, a `VisionConfig` or a `GraphConfig`",
    "context": "`model.pooling` likewise, where a learned vector reads the tokens",
}
"""The settings that name a layer which takes no tokens."""
_USED_BY_NAME = {
    SENTENCES: "`model.pooling` of the `EncoderConfig` of a task whose tokens end sentences",
    "local_p": "`model.cross_mechanism` of a `TransformerConfig` or a `RecurrentConfig`",
    "monotonic": "`model.cross_mechanism` of a `RecurrentConfig`",
    "coverage": "`model.coverage` of a `RecurrentConfig`",
    "pointer": "`model.copy` of a `TransformerConfig` or a `RecurrentConfig`",
}
"""The settings of those of them that cannot pool tokens."""
_HOW = """Options stand in parentheses; & joins masks, a comparison, scores, a normaliser and gates, |
masks in parentheses; a pattern repeats over layers:
--model.mechanism "window(size=16) & entmax(alpha=1.25)", --model.mechanism kda*3+softmax"""

_PAGE = """# Mechanisms

`attnjax list mechanisms` prints this list, `attnjax show NAME` one of them with its options; masks are drawn.
This page is written by `scripts/mechanisms.sh` from the declarations in `attnjax/mechanisms`.

A config names a mechanism by `model.mechanism`, on the command line, in a grid and in a search alike:

```
attnjax run recall --model.mechanism gla
attnjax run recall --model.mechanism "window(size=16) & entmax(alpha=1.25)"
attnjax run recall --model.mechanism "kda*3+softmax"
attnjax sweep recall --grid "model.mechanism=gla,window(size=8),longformer(size=8, tokens=2)"
```

- Options stand in parentheses, each by its name. Where none is given, the default holds.
- Masks, a comparison, scores, a normaliser and gates of heads are joined by `&`: softmax attention with these
  parts. Scores and gates act in the order given. Masks are joined by `|` too, in parentheses beside `&`:
  `(window(size=16) | global_tokens(count=2)) & entmax`.
- In an encoder-decoder `model.cross_mechanism` names the attention to the source likewise: softmax with
  another comparison, normaliser or gates (`additive` is Bahdanau's), or `local_p`.
- In a model of images, of a `VisionConfig`, layers of images stand beside those of tokens:
  `swin_window(size=4)+swin_window(size=4, shift=2)+softmax`, with `--model.class_token False` and
  `--model.pooling mean`. In a model of graphs, of a `GraphConfig`, layers of graphs do: `gatv2+softmax`.
- `model.pooling` names a layer that pools a set, or one that reads a context, in the place of the mean:
  `pma`, `self_attentive_pooling`, `slot_attention(slots=4, learned=True)`, `cross`.
- `+` joins the mechanisms of one layer after another and `*3` repeats one; the whole pattern repeats over the
  layers of a model, in an encoder-decoder over those of each stack.
"""


def listing() -> str:
    """Returns the mechanisms under headings, a line for each."""
    width = max(map(len, table()))
    lines = []
    for heading, rows in _groups():
        lines += [f"{heading}:", *(f"  {row.name:<{width}}  {row.formula}" for row in rows), ""]
    return "\n".join([*lines, _HOW])


def description(row: Mechanism) -> str:
    """Returns what is declared of a mechanism, for the terminal."""
    return "\n".join([f"{row.name}: {row.formula}", "", *(f"{a + ':':<10}{b}" for a, b in _facts(row))])


def page() -> str:
    """Returns the page of the documentation, in Markdown."""
    lines = [_PAGE]
    for heading, rows in _groups():
        lines += [f"## {heading.capitalize()}", ""]
        for row in rows:
            lines += [f"### `{row.name}`", "", f"{row.formula}", ""]
            lines += [f"- {fact}: {text}" for fact, text in _facts(row) if fact not in ("code", "use")]
            lines.append("")
    lines += [
        "## Not in a config",
        "",
        "These primitives take what text cannot hold. A mask or score of your own may use them:",
        "`attnjax.mechanisms.mechanism` registers a function.",
        "",
        *(f"- `{name}`: {why}" for name, why in NOT_IN_A_CONFIG.items()),
        "",
    ]
    return "\n".join(lines)


def _groups() -> Iterator[tuple[str, list[Mechanism]]]:
    for heading, belongs in _HEADINGS.items():
        if rows := [row for row in table(Mechanism).values() if belongs(row)]:
            yield heading, rows


def _facts(row: Mechanism) -> Iterator[tuple[str, str]]:
    if row.paper is not None:
        yield "paper", _reference(row.paper)
    yield "cost", f"{row.cost} for {_SIZES.get(row.takes, 'a head in T tokens')}"
    if isinstance(row, Layer):
        yield "takes", TAKES[row.takes]
        used = _USED_BY_NAME.get(row.name, "" if row.name in NO_POOL else _USED.get(row.takes, ""))
        if used:
            yield "models", used
    if row.takes == "tokens":
        yield "reads", _order(row) + ("" if row.packs else "; no packed sequences")
        yield "decodes", _decoding(row)
    if isinstance(row, Recurrence):
        states = (
            row.state if isinstance(row.state, str) else "; ".join(f"{n} {x}" for n, x in row.state.items())
        )
        yield "state", states
        for name, gate in row.gates.items():
            yield "gate", f"{name} [{gate.axes}], {gate.range}"
    for name, option in row.options.items():
        default = "" if option.default is None else f", default {option.default}"
        of_model = "" if option.of_model is None else f", here the model's {option.of_model}"
        expected = f"{option.expected}{default}{of_model}"
        yield "option", f"{name}: {f'{option.meaning} ({expected})' if option.meaning else expected}"
    yield "code", row.place or (row.target if isinstance(row.target, str) else row.target.__qualname__)
    if row.takes == "tokens":
        yield "use", f"--model.mechanism {row.name}"
    else:
        yield "use", f'attnjax.nn.make_attention("{row.name}", dim, heads, rngs=rngs)'


def _is_layer(row: Mechanism, takes: Takes) -> bool:
    return isinstance(row, Layer) and row.takes == takes and not row.place


def _order(row: Mechanism) -> str:
    if row.two_sided_only:
        return "both ways only" + (", one document a row" if not row.packs else "")
    return "causally only" if row.causal_only else "causally, and both ways"


def _decoding(row: Mechanism) -> str:
    return f"with {row.holds}" if row.streaming else "not token by token: it needs all tokens at once"


def _reference(paper: Paper) -> str:
    link = "" if paper.arxiv is None else f", https://arxiv.org/abs/{paper.arxiv}"
    return f"{paper.authors}, {paper.title}, {paper.year}{link}"
