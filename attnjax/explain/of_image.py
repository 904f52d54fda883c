"""Explanations of images: which patches a model attends to, and what each counts for the label."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import InputError, require
from attnjax.data.images.files import png
from attnjax.explain.of_text import in_order
from attnjax.explain.question import ask
from attnjax.explain.saliencies import saliencies
from attnjax.explain.target import Target
from attnjax.explain.viewer import AttentionMap, Explanation, PatchImage
from attnjax.models.output import Weights
from attnjax.models.recogniser import Recogniser
from attnjax.models.vision import VisionTransformer
from attnjax.nn import Capture


def explained_image(
    reader: Recogniser,
    file: str,
    *,
    capture: Capture | None = None,
    methods: Sequence[str] | None = (),
    subtitle: str = "",
    notify: Callable[[str], None] = lambda _: None,
) -> Explanation:
    """Returns the attention maps of an image over its patches, and what each counts for the likeliest label.

    Args:
      reader: the model with its labels.
      file: of the image.
      capture: the layers and heads; None: all.
      methods: of attribution, by their names; None: the usual ones that fit the model.
      subtitle: the model, in words.
      notify: told what is computed now.

    Raises:
      InputError: The file is no image; the model's attention is within windows, or has no weights; there is
        no such layer or head.
    """
    model = reader.model
    require(
        isinstance(model, VisionTransformer),
        f"model is a {type(model).__name__}: expected a VisionTransformer, whose layers see all patches",
    )
    pixels = reader.read(file)
    images = jnp.asarray(reader.prepare(pixels[None]))
    capture = Capture() if capture is None else capture
    question = ask(model, images, target=Target(of="probability"))
    try:
        weights = _captured(question.graph, question.params, images, capture)
    except (ValueError, NotImplementedError) as error:
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    require(len(weights) > 0, "no layer has attention weights: expected a model and layers that have some")
    rows, columns = (side // model.config.patch for side in pixels.shape[:2])
    patches = [f"row {i + 1}, column {j + 1}" for i in range(rows) for j in range(columns)]
    classes = ["class"] * model.config.class_token
    names = [*classes, *(f"register {i + 1}" for i in range(model.config.registers)), *patches]
    maps = []
    for path in in_order(weights):
        array = np.asarray(weights[path][0], np.float32)
        looks = array.shape[1]
        # Of a pooling, vectors of its own look.
        looking = names if looks == len(names) else [f"vector {i + 1}" for i in range(looks)]
        maps.append(AttentionMap(path, looking, names, array, heads=capture.heads))
    found = [] if methods == () else saliencies(question, patches, methods, notify)
    assert question.target.index is not None
    label = reader.names[int(question.target.index[0])]
    image = PatchImage(png(pixels), rows, columns, question.first)
    return Explanation(f"{file}: {label}", maps, found, subtitle=subtitle, image=image)


@partial(jax.jit, static_argnums=(0, 3))
def _captured(graph: Any, params: Any, images: jax.Array, capture: Capture) -> Weights:
    return nnx.merge(graph, params)(images, capture=capture).weights
