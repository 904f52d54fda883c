"""Pretrained models that write text: a folder's model, its tokenizer, its marks and its chat template."""

from pathlib import Path
from typing import Any

from attnjax.config import InputError
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.models.decoding.rules import Rules, rules
from attnjax.models.decoding.text import TextModel
from attnjax.pretrained.folder import CONFIG, from_pretrained
from attnjax.pretrained.tensors import read_json

TEMPLATE = "chat_template"


def text_model(folder: str | Path, *, dtype: Any = None) -> TextModel:
    """Returns the model of a folder with its tokenizer.

    Of what a folder says about generation, what the model was trained to is kept: the tokens that begin and
    end a text, one that every target begins with, and those that are never written. Who calls says how many
    beams there are, what is drawn and how long a text may be.

    Args:
      folder: with config.json, weights and tokenizer.json; generation_config.json, tokenizer_config.json and
        chat_template.jinja are read where they are there.
      dtype: of parameters and computation; None: that of the files.

    Raises:
      InputError: As in `from_pretrained`; there is no tokenizer.json; the model is one that only reads;
        nothing says which token begins a target.
    """
    folder = Path(folder)
    settings = read_json(folder / CONFIG)
    generation, tokens = (
        read_json(folder / name) if (folder / name).is_file() else {}
        for name in ("generation_config.json", "tokenizer_config.json")
    )
    tokenizer = PretrainedTokenizer(folder / "tokenizer.json")
    special = {name: text for name, x in tokens.items() if (text := _content(name, x)) is not None}
    template = _template(folder, tokens)

    def chat(text: str, system: str | None) -> str:
        from attnjax.data.text.chat import chat_text

        messages = [{"role": "system", "content": system}] if system else []
        assert template is not None
        return chat_text(template, [*messages, {"role": "user", "content": text}], **special)

    found: Any = from_pretrained(folder, dtype=dtype)
    if not hasattr(found, "continues"):
        raise InputError(
            f"{folder} holds a model of {settings['model_type']}, which reads and writes no text"
        )
    said = settings | generation
    eos = said.get("eos_token_id")
    if eos is None and "eos_token" in special:
        eos = tokenizer.id(special["eos_token"])
    start = None if found.continues else said.get("decoder_start_token_id", said.get("bos_token_id"))
    if not found.continues and start is None:
        raise InputError(f"{folder / CONFIG} has no decoder_start_token_id: expected what begins a target")
    ends = () if eos is None else tuple(eos) if isinstance(eos, list) else (eos,)
    first = None if found.continues else said.get("forced_bos_token_id")
    return TextModel(
        found,
        tokenizer.encode,
        tokenizer.decode,
        eos=ends,
        bos=start,
        pad=settings.get("pad_token_id") or 0,
        rules=_rules(said, ends),
        prefix=() if first is None else (first,),
        chat=None if template is None else chat,
        raw=lambda text: tokenizer.encode(text, special=False),
        names=tokenizer.names,
    )


def _rules(said: dict[str, Any], ends: tuple[int, ...]) -> Rules | None:
    """Returns the rules of what a model never writes, None for none; a text may always end."""
    banned = [*(said.get("bad_words_ids") or ()), *([token] for token in said.get("suppress_tokens") or ())]
    banned = [tokens for tokens in banned if tokens not in [[end] for end in ends]]
    return rules(banned=banned) if banned else None


def _content(name: str, x: Any) -> str | None:
    """Returns the text of a special token, which is a string or an object with a content."""
    text = x.get("content") if isinstance(x, dict) else x
    return text if name.endswith("_token") and isinstance(text, str) else None


def _template(folder: Path, tokens: dict[str, Any]) -> str | None:
    file = folder / f"{TEMPLATE}.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = tokens.get(TEMPLATE)
    if isinstance(found, list):  # Several by name.
        found = {entry.get("name"): entry.get("template") for entry in found}.get("default")
    return found
