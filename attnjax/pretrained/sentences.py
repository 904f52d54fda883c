"""Folders of encoders, as sentence-transformers writes them or plain, to encoders of texts."""

import json
from pathlib import Path
from typing import Any

from attnjax.config import InputError, require
from attnjax.data.text.tokenizer import PretrainedTokenizer
from attnjax.models.encoder import Encoder
from attnjax.models.sentences import SentenceEncoder, pooled_as
from attnjax.pretrained.folder import from_pretrained
from attnjax.pretrained.tensors import read_json

MODULES = "modules.json"
_MODES = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


def sentence_encoder(folder: str | Path, *, dtype: Any = None) -> SentenceEncoder:
    """Returns the encoder of texts in a folder.

    What sentence-transformers writes beside the weights is followed: the pooling, the longest text, prompts
    and whether vectors are normed. Without it vectors are the normed mean of a text's tokens.

    Args:
      folder: with config.json, weights and tokenizer.json.
      dtype: of parameters and computation; None: that of the files.

    Raises:
      InputError: As in `from_pretrained`; there is no tokenizer.json; the model is no encoder of texts; a
        module or pooling is one that is not known here.
    """
    folder = Path(folder)
    pooling, normalise = _modules(folder)
    settings = _optional(folder / "sentence_bert_config.json")
    prompts = _optional(folder / "config_sentence_transformers.json")
    found = from_pretrained(folder, dtype=dtype)
    if not isinstance(found, Encoder) or found.config.causal:
        raise InputError(
            f"{folder} holds a {type(found).__name__}: expected an encoder of texts, such as BERT"
        )
    tokenizer = PretrainedTokenizer(folder / "tokenizer.json")
    longest, lower = settings.get("max_seq_length"), settings.get("do_lower_case", False)
    if found.config.positions == "learned":
        room = found.config.max_length - found.config.first_position
        longest = room if longest is None else min(longest, room)
    texts: dict[str, str] = prompts.get("prompts") or {}
    default = texts.get(prompts.get("default_prompt_name") or "", "")
    return SentenceEncoder(
        pooled_as(found, pooling),
        lambda given: tokenizer.rows([x.lower() for x in given] if lower else given, longest),
        normalise,
        query=texts.get("query", default),
        passage=texts.get("document", default),
    )


def _modules(folder: Path) -> tuple[str, bool]:
    """Returns the pooling and whether vectors are normed."""
    if not (folder / MODULES).is_file():
        return "mean", True
    modules = {
        str(x.get("type", "")).rsplit(".", 1)[-1]: x.get("path", "") for x in _listed(folder / MODULES)
    }
    unknown = sorted(modules.keys() - {"Transformer", "Pooling", "Normalize"})
    require(not unknown, f"{folder / MODULES} has {', '.join(unknown)}: nothing of ours stands for it")
    require(
        not modules.get("Transformer"),
        f"{folder / MODULES} has its Transformer in {modules.get('Transformer')}: expected the folder itself",
    )
    if "Pooling" not in modules:
        return "mean", "Normalize" in modules
    file = folder / modules["Pooling"] / "config.json"
    raw = read_json(file)
    modes = [name for name, value in raw.items() if name.startswith("pooling_mode_") and value]
    require(
        len(modes) == 1 and modes[0] in _MODES,
        f"{file} has {', '.join(modes) or 'no pooling mode'}: expected one of {', '.join(_MODES)}",
    )
    return _MODES[modes[0]], "Normalize" in modules


def _listed(file: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is no JSON: {error}") from None
    require(
        isinstance(found, list) and all(isinstance(x, dict) for x in found), f"{file} is no list of modules"
    )
    return list(found)


def _optional(file: Path) -> dict[str, Any]:
    return dict(read_json(file)) if file.is_file() else {}
