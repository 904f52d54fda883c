"""A model here against the same folder in transformers: logits, every layer's attention and vectors."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnjax.config import InputError, require
from attnjax.pretrained.asking import ask
from attnjax.pretrained.family import find
from attnjax.pretrained.folder import CONFIG, from_pretrained
from attnjax.pretrained.tensors import read_json

TOLERANCE = 1e-4
"""A difference of so large a share of the largest value is none, in float32."""


class Difference(NamedTuple):
    """The largest difference of an array, as a share of its largest value.

    Attributes:
      name: what it is of: "embedding", "blocks.0.attention", "blocks.0", …, "logits", from below.
      size: the share.
      largest: the largest value that transformers has.
    """

    name: str
    size: float
    largest: float


def verify(folder: str | Path, *, boosted: bool = False) -> list[Difference]:
    """Returns the differences between a model here and in transformers, in float32, from the first layer on.

    Both read rows of drawn tokens of several lengths, padded on the right, or drawn images.

    Args:
      folder: with config.json and tensors.
      boosted: whether weights are drawn anew, so large that every part of the model has an effect on the
        result: it tests the code, not the tensors on disk.

    Raises:
      InputError: As in `from_pretrained`; transformers is not installed, or lacks the class of the model.
    """
    torch, transformers = _libraries()
    if not boosted:
        return _compared(Path(folder), _theirs(Path(folder), transformers), torch)
    with tempfile.TemporaryDirectory() as place:
        drawn = boost(_theirs(Path(folder), transformers), torch)
        drawn.save_pretrained(place)
        return _compared(Path(place), drawn, torch)


def boost(model: Any, torch: Any) -> Any:
    """Draws the parameters of a model of transformers so that every part of it has an effect.

    Matrices are N(0, (2/√inputs)²), embeddings N(0, 1), vectors are moved by N(0, 0.3²), and up by as much
    where they are kept beside the parameters. In a fresh model attention is flat, and a missing rotation or a
    wrong scale changes nothing that one sees.
    """
    draw = np.random.default_rng(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            values = draw.normal(size=shape)
            if len(shape) < 2:
                values = parameter.double().numpy() + 0.3 * values
            elif not any(word in name for word in ("embed", "wte", "wpe")):
                owner = model.get_submodule(name.rpartition(".")[0])
                inputs = shape[0] if type(owner).__name__ == "Conv1D" else shape[-1]
                values *= 2 / inputs**0.5
            parameter.copy_(torch.tensor(values))
        for name, kept in model.named_buffers():
            if name in model.state_dict() and kept.is_floating_point() and kept.ndim == 1:
                # Such as variances, which are positive, and corrections of routers.
                kept.add_(torch.tensor(0.3 * np.abs(draw.normal(size=tuple(kept.shape)))))
    return model


def first_of(differences: list[Difference]) -> Difference | None:
    """Returns the first difference that is one; it may be NaN."""
    return next((found for found in differences if not found.size <= TOLERANCE), None)


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"verify needs {error.name} (pip install transformers torch)") from None
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


def _theirs(folder: Path, transformers: Any) -> Any:
    raw = read_json(folder / CONFIG)
    family = find(raw.get("model_type", ""), str(folder / CONFIG))
    name = (raw.get("architectures") or [family.peer])[0]
    made = getattr(transformers, name, None)
    require(made is not None, f"{folder / CONFIG} has architectures = [{name!r}], which transformers lacks")
    options: dict[str, Any] = {"attn_implementation": "eager", "dtype": "float32", "local_files_only": True}
    assert made is not None
    try:
        return made.from_pretrained(folder, **options).eval()
    except ImportError as error:  # Such as timm, for a ResNet of its.
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / CONFIG}: transformers needs more for it: {reason}") from None


def _compared(folder: Path, theirs: Any, torch: Any) -> list[Difference]:
    model: Any = from_pretrained(folder, dtype="float32")
    ours, expected = ask(model, theirs, torch)
    return [_difference(name, np.asarray(ours[name], np.float64), x) for name, x in expected.items()]


def _difference(name: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    largest = float(np.nanmax(np.abs(expected)))
    given = ~np.isnan(expected)
    return Difference(name, float(np.abs(found - expected)[given].max() / largest), largest)
