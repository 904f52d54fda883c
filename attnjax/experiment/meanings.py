"""The meaning of each field of a config: the string below the field in its dataclass."""

import ast
import dataclasses
import inspect
import itertools
import textwrap

from attnjax.experiment.serialize import fields_of


def meanings(cls: type, prefix: str = "") -> dict[str, str]:
    """Returns the text under each leaf field, in one line, by dotted name; without the fields that have none.

    >>> from attnjax.train.config import TrainConfig
    >>> meanings(TrainConfig)["batch_size"]
    'Examples of one update, over all devices and micro-batches.'
    """
    own: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        own |= _strings(base) if dataclasses.is_dataclass(base) else {}
    found: dict[str, str] = {}
    for name, annotation in fields_of(cls).items():
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            found |= meanings(annotation, f"{prefix}{name}.")
        elif name in own:
            found[prefix + name] = own[name]
    return found


def _strings(cls: type) -> dict[str, str]:
    """The strings of one class by the field above each; none where its source cannot be read."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    found = {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for above, below in itertools.pairwise(body):
        field = above.target if isinstance(above, ast.AnnAssign) else None
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(field, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
            found[field.id] = " ".join(text.value.split())
    return found
