"""The command `explain`: what a model attends to, as one HTML file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.cli.models import is_pretrained, trained
from attnjax.cli.outputs import require_output
from attnjax.config import InputError, require
from attnjax.runs.start import Notify
from attnjax.runs.weights import AS_EVALUATED, MEANING

if TYPE_CHECKING:
    from attnjax.explain.viewer import Explanation

WRITTEN = 32
"""Tokens that a model writes at most, where nothing is said."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax explain`."""
    add = parser.add_argument
    add(
        "model", metavar="RUN|DIR", help="a run's id, its start or its folder, or a pretrained model's folder"
    )
    text = "a text, token ids in quotes, or the file of an image; the page has all inputs"
    add("texts", metavar="INPUT", nargs="*", help=text)
    place = Path("explanation.html")
    add("--out", type=Path, metavar="FILE", default=place, help=f"the page (default: {place})")
    add("--layers", metavar="N,…", help="their numbers, as 0,3-5 (default: all)")
    add("--heads", metavar="N,…", help="their numbers, as 0,3-5 (default: all)")
    text = "attributions, by their names (default: the usual ones that fit the model), or none"
    add("--methods", metavar="NAME,…", help=text)
    text = f"tokens that a decoder writes at most (default: {WRITTEN}); 0: a decoder-only model only reads"
    add("--max-tokens", type=int, default=WRITTEN, metavar="N", help=text)
    text = f"of a run: {MEANING} (default: {AS_EVALUATED})"
    add("--weights", metavar="last|best[:K]", help=text)


def explain(options: argparse.Namespace, notify: Notify) -> int:
    """Writes a page that shows what a model attends to: one file, which any browser opens offline."""
    require(len(options.texts) > 0, "there is no INPUT: expected a text, or the file of an image")
    require(options.max_tokens >= 0, f"--max-tokens is {options.max_tokens}: expected 0 or more")
    layers, heads = (numbers(f"--{name}", getattr(options, name)) for name in ("layers", "heads"))
    require_output("--out", options.out, ".html", ".htm")
    from attnjax.runs.devices import start_jax

    start_jax(1)
    from attnjax.explain.of_image import explained_image
    from attnjax.explain.of_text import explained
    from attnjax.explain.viewer import page
    from attnjax.models.recogniser import Recogniser
    from attnjax.nn import Capture

    reader, written, subtitle = _reader(options)
    asked: dict[str, Any] = {"capture": Capture(layers, heads), "subtitle": subtitle}
    asked |= {"methods": _methods(options.methods), "notify": notify}
    if isinstance(reader, Recogniser):
        explanations = [explained_image(reader, file, **asked) for file in options.texts]
    else:
        explanations = [explained(reader, text, max_tokens=written, **asked) for text in options.texts]
    if asked["methods"] != () and not any(each.saliencies for each in explanations):
        notify("no attributions: the model has neither classes nor tokens to choose")
    html = page(explanations).encode()
    try:
        options.out.write_bytes(html)
    except OSError as error:
        raise InputError(f"cannot write to {options.out}: {error.strerror}") from None
    print(f"{options.out}: {_size(len(html))}, {_counted(explanations)}")
    return 0


def numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    """Returns the numbers that a text such as "0,3-5" lists; None of None.

    >>> numbers("--layers", "0,3-5")
    (0, 3, 4, 5)
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = first, last if dash else first
        require(
            all(end.isascii() and end.isdigit() for end in ends),
            f"{name} is {text!r}: expected numbers such as 0,3-5",
        )
        found += range(int(ends[0]), int(ends[1]) + 1)
    require(len(found) > 0, f"{name} is {text!r}: it names none")
    return tuple(dict.fromkeys(found))


def _methods(text: str | None) -> tuple[str, ...] | None:
    """Returns the names that a text lists, after a look at each; None of None."""
    if text is None or text == "none":
        return None if text is None else ()
    from attnjax.explain.attributions import require_known

    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        require_known(name)
    return names


def _reader(options: argparse.Namespace) -> tuple[Any, int, str]:
    """Returns the model with its tokens, how many it writes, and what it is."""
    folder = Path(options.model)
    if is_pretrained(folder):
        reader, family = _of_folder(folder)
        return reader, options.max_tokens, f"{folder.absolute().name} · {family}"
    name, task, params = trained(options.model, options, options.weights)
    from attnjax.tasks.base import NamesTokens, Predicts, Recognises, Writes

    if isinstance(task, Writes):
        return task.writer(params), options.max_tokens, name
    if isinstance(task, NamesTokens):
        return task.reader(params), 0, name
    if isinstance(task, Recognises):
        return task.recogniser(params), 0, name
    other = (
        "; `attnjax predict` with --details and --to FOLDER writes where it looked, in so far as it says so"
    )
    raise InputError(
        f"{name}: {type(task).__name__} has neither tokens nor patches to show"
        f"{other if isinstance(task, Predicts) else ''}"
    )


def _of_folder(folder: Path) -> tuple[Any, str]:
    """Returns the model with its tokens, and the name of its family."""
    from attnjax.data.text.tokenizer import PretrainedTokenizer
    from attnjax.explain.of_text import Reader
    from attnjax.models.encoder import Encoder
    from attnjax.pretrained.family import find
    from attnjax.pretrained.folder import CONFIG, from_pretrained
    from attnjax.pretrained.tensors import read_json
    from attnjax.pretrained.text import text_model

    label = str(folder / CONFIG)
    family = find(read_json(folder / CONFIG)["model_type"], label)
    if family.model is not Encoder:
        return text_model(folder), family.name
    tokenizer = PretrainedTokenizer(folder / "tokenizer.json")
    model: Any = from_pretrained(folder)
    return Reader(model, tokenizer.encode, tokenizer.names), family.name


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _counted(explanations: "list[Explanation]") -> str:
    maps = explanations[0].maps
    counts = {"input": len(explanations), "layer": len(maps), "head": len(maps[0].weights)}
    inputs, layers, heads = (f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items())
    return f"{inputs}, {layers} with {heads}"
