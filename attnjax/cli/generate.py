"""The command `generate`: text from a pretrained folder or a trained run, as it is written."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnjax.cli.models import is_pretrained, trained
from attnjax.config import InputError, require
from attnjax.runs.start import Notify

if TYPE_CHECKING:
    from attnjax.models.decoding.text import TextModel

DRAWS = ("temperature", "top_k", "top_p", "min_p")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `attnjax generate`."""
    add = parser.add_argument
    add(
        "model",
        metavar="DIR|RUN",
        help="a folder of a pretrained model, or a run's id, its start or its folder",
    )
    add("texts", metavar="TEXT", nargs="*", help="what is continued or translated (default: lines of stdin)")
    add("--max-tokens", type=int, default=128, metavar="N", help="tokens to emit at most (default: 128)")
    add("--temperature", type=float, metavar="T", help="draw; below 1 likely tokens are likelier")
    add("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens")
    add("--top-p", type=float, metavar="P", help="draw from the likeliest tokens with this share together")
    add("--min-p", type=float, metavar="P", help="draw from tokens this share as likely as the likeliest")
    add("--repetition-penalty", type=float, metavar="X", help="above 1: fewer repetitions")
    add("--beams", type=int, metavar="K", help="the best of K beams, in place of one token after another")
    add("--length-penalty", type=float, metavar="X", help="of beams; above 0 favours long texts (default: 1)")
    add(
        "--draft", type=Path, metavar="DIR", help="a small model over the same tokens, which proposes several"
    )
    add("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    add("--stop", action="append", default=[], metavar="STRING", help="end before it; may be given again")
    add("--chat", action="store_true", help="the text is a message, put into the model's chat template")
    add("--system", metavar="TEXT", help="the system's message before it, with --chat")
    add("--dtype", choices=("float32", "bfloat16"), help="of the computation (default: that of the files)")
    add("--int8", action="store_true", help="hold weights as int8: a quarter of the memory, rounded")
    add("--json", action="store_true", help="print a JSON object for each text, one a line")


def generate(options: argparse.Namespace, notify: Notify) -> int:
    """Writes text with a pretrained model or a trained run, token by token."""
    _require_fits(options)
    from attnjax.runs.devices import start_jax

    start_jax(1)
    import jax

    writer = _writer(options)
    writer = replace(writer, model=_held(writer.model, options))
    try:
        strategy, key = _strategy(options), jax.random.key(options.seed)
        for number, text in enumerate(_texts(options)):
            prompt = _prompt(writer, text, options)
            pieces = writer.write(
                prompt,
                max_length=options.max_tokens,
                strategy=strategy,
                key=jax.random.fold_in(key, number),
                stop=options.stop,
            )
            _show(text, pieces, as_json=options.json)
    except ValueError as error:
        raise InputError(str(error)) from None
    return 0


def _require_fits(options: argparse.Namespace) -> None:
    require(options.max_tokens >= 1, f"--max-tokens is {options.max_tokens}: expected 1 or more")
    drawn = [f"--{name.replace('_', '-')}" for name in DRAWS if getattr(options, name) is not None]
    if options.beams is not None:
        one = [*drawn, *(["--repetition-penalty"] if options.repetition_penalty is not None else [])]
        one += ["--draft"] if options.draft is not None else []
        require(not one, f"--beams comes with {', '.join(one)}: expected one of them")
    require(
        options.length_penalty is None or options.beams is not None,
        "--length-penalty comes without --beams: it is of beams",
    )
    require(options.system is None or options.chat, "--system comes without --chat: it is part of a chat")


def _writer(options: argparse.Namespace) -> "TextModel":
    if is_pretrained(Path(options.model)):
        from attnjax.pretrained.text import text_model

        return text_model(Path(options.model), dtype=options.dtype)
    name, task, params = trained(options.model, options)
    from attnjax.tasks.base import Writes

    if not isinstance(task, Writes):
        raise InputError(f"{name} writes no text: {type(task).__name__} has no method writer")
    return task.writer(params)


def _strategy(options: argparse.Namespace) -> Any:
    from attnjax.models import beams, greedy, sampling, speculative

    if options.beams is not None:
        penalty = 1.0 if options.length_penalty is None else options.length_penalty
        return beams(options.beams, length_penalty=penalty)
    draws = {name: getattr(options, name) for name in DRAWS}
    penalty = options.repetition_penalty
    one: Any = greedy(repetition_penalty=penalty)
    if any(number is not None for number in draws.values()):
        one = sampling(repetition_penalty=penalty, **draws)
    if options.draft is None:
        return one
    from attnjax.pretrained.text import text_model

    draft = text_model(options.draft, dtype=options.dtype).model
    return speculative(_held(draft, options), strategy=one)


def _held(model: Any, options: argparse.Namespace) -> Any:
    """Returns a model with its weights as they are asked for."""
    from attnjax.models import in_int8

    return in_int8(model) if options.int8 else model


def _texts(options: argparse.Namespace) -> Iterator[str]:
    if options.texts:
        yield from options.texts
        return
    for line in sys.stdin:
        if text := line.rstrip("\n"):
            yield text


def _prompt(writer: "TextModel", text: str, options: argparse.Namespace) -> list[int]:
    if not options.chat:
        return list(writer.encode(text))
    if writer.chat is None or writer.raw is None:
        raise InputError(f"--chat: {options.model} has no chat template")
    return list(writer.raw(writer.chat(text, options.system)))


def _show(text: str, pieces: Iterator[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"input": text, "output": "".join(pieces)}, ensure_ascii=False), flush=True)
        return
    for piece in pieces:
        print(piece, end="", flush=True)
    print(flush=True)
