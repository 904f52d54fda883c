"""Keys that a config.json leaves out stand for what transformers takes in their place."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from attnjax.config import InputError
from attnjax.pretrained.family import find, names
from attnjax.pretrained.keys import Keys

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: oracles)")

NEEDED: Mapping[str, Mapping[str, Any]] = {
    "deberta_v2": {
        "relative_attention": True,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 256,
        "type_vocab_size": 0,
    },
}
"""What has another value than the default, which is refused."""
PARTS = ("text_config", "vision_config", "backbone_config")


def config(name: str) -> tuple[dict[str, Any], bool]:
    """The config.json of a family with all its keys; whether heads of keys have a number of their own."""
    kind = "deberta-v2" if name == "deberta_v2" else name
    made = transformers.AutoConfig.for_model(kind)
    found = json.loads(made.to_json_string(use_diff=False))
    grouped = getattr(type(made), "num_key_value_heads", None) is not None and "kv_lora_rank" not in found
    return {key: x for key, x in found.items() if x is not None}, grouped


def read(name: str, raw: Mapping[str, Any]) -> Any:
    """What a family reads of a config.json without tensors; the text of the error where it reads none."""
    try:
        keys = Keys(raw, "config.json")
        found, sizes = find(name, "").read(keys, {})
        keys.finish()
    except InputError as error:
        return str(error)
    return found.filled(), sizes


def unlike(name: str, raw: dict[str, Any], default: Mapping[str, Any]) -> list[str]:
    """The keys of which leaving them out is not what their default is; it may be an error that names them."""
    wrong, whole = [], read(name, raw)
    for key in raw.keys() & default.keys():
        without = {other: x for other, x in raw.items() if other != key}
        expected = whole if raw[key] == default[key] else read(name, raw | {key: default[key]})
        found = read(name, without)
        if found != expected and found != f"config.json has no {key}":
            wrong.append(f"{key}: {found if isinstance(found, str) else 'differs'}")
        if key not in PARTS:
            continue
        for inner in default[key]:
            part = {other: x for other, x in raw[key].items() if other != inner}
            if read(name, raw | {key: part}) != whole:
                wrong.append(f"{key}.{inner}")
    return wrong


@pytest.mark.parametrize("name", names())
def test_a_key_that_is_left_out_has_the_default_of_transformers(name: str) -> None:
    default, grouped = config(name)
    raw = default | NEEDED.get(name, {})
    if grouped:  # As many, whatever the heads of queries are.
        raw |= {heads: 2 * raw[heads] for heads in ("num_attention_heads", "hidden_size")}
    assert not isinstance(read(name, raw), str), read(name, raw)
    assert unlike(name, raw, default) == []
