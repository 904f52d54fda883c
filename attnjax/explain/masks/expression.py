"""Masks written as text: `causal() & sliding_window(256, 0)`. Read as a syntax tree, never executed."""

import ast
import inspect
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from attnjax.config import InputError
from attnjax.experiment.registry import nearest
from attnjax.ops import masks
from attnjax.ops.masks import Mask

OPERATORS: dict[type, Callable[[Mask, Mask], Mask]] = {
    ast.BitAnd: lambda left, right: left & right,
    ast.BitOr: lambda left, right: left | right,
}
# Positions are sums of an index and an offset in int32: half of its range for each.
LARGEST = 2**30
DEEPEST = 100


def random_blocks(seed: int, size: int, count: int) -> Mask:
    """`masks.random_blocks`, whose key text cannot hold: of a seed."""
    if not isinstance(seed, int):
        raise TypeError(f"seed is {seed!r}: expected a whole number")
    return masks.random_blocks(jax.random.key(seed), size, count)


MASKS: dict[str, Callable[..., Mask]] = {
    name: getattr(masks, name) for name in masks.__all__ if name not in ("Mask", "predicate")
} | {"random_blocks": random_blocks}


def read_mask(text: str) -> Mask:
    """The mask that the text describes: calls of the mask constructors, joined by & | ~ and parentheses.

    Arguments are whole numbers, True, False, None, strings, and lists and tuples of these; `random_blocks`
    takes a seed for its key, `relabel` a mask. InputError, with the position, for anything else.

    >>> print(read_mask("causal() & ~(prefix(1) | dilated(2))").draw(4))
    · · · ·
    · · · ·
    · ■ · ·
    · · ■ ·
    """
    # Line ends count as spaces: a position is one number. Spaces in front would be an indent.
    line = "".join(" " if c.isspace() else c for c in text)
    return _Reader(text, len(line) - len(line.lstrip())).read(line.strip())


class _Reader:
    def __init__(self, text: str, shift: int) -> None:
        self.text, self.shift = text, shift

    def read(self, line: str) -> Mask:
        self.line = line
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's, of escapes in strings.
                tree = ast.parse(line, mode="eval")
        except SyntaxError as error:
            if not error.offset or (error.lineno or 1) > 1:  # What Python says of an end too early.
                self.refuse(len(line), "the text ends where a mask is expected")
            self.refuse(error.offset - 1, error.msg)
        except (ValueError, RecursionError, MemoryError) as error:
            raise InputError(f"cannot read the mask: {error or 'nested too deeply'}") from None
        return self.mask(tree.body, 0)

    def mask(self, node: ast.AST, depth: int) -> Mask:
        """The mask of a node of the tree."""
        if depth > DEEPEST:
            self.refuse(node, f"nested deeper than {DEEPEST}")
        match node:
            case ast.BinOp(left, op, right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](self.mask(left, depth + 1), self.mask(right, depth + 1))
            case ast.UnaryOp(ast.Invert(), operand):
                return ~self.mask(operand, depth + 1)
            case ast.Call(ast.Name(name)):
                return self.call(node, name, depth)
            case ast.Name(name) if name in MASKS:
                self.refuse(node, f"{name} lacks its arguments: {_signature(name)}")
            case ast.Name(name):
                self.unknown(node, name)
            case ast.BoolOp() | ast.UnaryOp(ast.Not()) | ast.BinOp():
                self.refuse(node, "masks are joined by & | ~ and parentheses only")
        self.refuse(node, f"expected a mask, such as causal(), got {self.source(node)}")

    def call(self, node: ast.Call, name: str, depth: int) -> Mask:
        if name not in MASKS:
            self.unknown(node, name)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if None in named:
            self.refuse(node, "** is not read")
        places = [*inspect.signature(MASKS[name]).parameters, *[None] * len(node.args)]
        positional = [self.argument(p, x, depth) for p, x in zip(places, node.args, strict=False)]
        try:
            return MASKS[name](*positional, **{k: self.argument(k, v, depth) for k, v in named.items() if k})
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            self.refuse(node, f"{self.source(node)}: {error} (it is {_signature(name)})")

    def argument(self, parameter: str | None, node: ast.AST, depth: int) -> Any:
        """The value for a parameter: a mask for that of this name."""
        return self.mask(node, depth + 1) if parameter == "mask" else self.literal(node, 0)

    def literal(self, node: ast.AST, depth: int) -> Any:
        """The value of an argument."""
        if depth > DEEPEST:
            self.refuse(node, f"nested deeper than {DEEPEST}")
        match node:
            case ast.Constant(value) if value is None or isinstance(value, (bool, str)):
                return value
            case ast.Constant(int(value)) | ast.UnaryOp(ast.USub() | ast.UAdd(), ast.Constant(int(value))):
                if value > LARGEST:
                    self.refuse(node, f"a number beyond ±{LARGEST}")
                return -value if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else value
            case ast.List(elements):
                return [self.literal(x, depth + 1) for x in elements]
            case ast.Tuple(elements):
                return tuple(self.literal(x, depth + 1) for x in elements)
        self.refuse(node, f"an argument is a whole number, a string or a list, not {self.source(node)}")

    def unknown(self, node: ast.AST, name: str) -> NoReturn:
        if name == "predicate":
            self.refuse(node, "predicate takes a function, which text cannot hold")
        others = nearest(name, MASKS) or f"; there are {', '.join(MASKS)}"
        self.refuse(node, f"unknown mask {name!r}{others}")

    def source(self, node: ast.AST) -> str:
        source = ast.get_source_segment(self.line, node) or ""
        return source if len(source) <= 60 else f"{source[:57]}…"

    def refuse(self, place: ast.AST | int, message: str) -> NoReturn:
        if not isinstance(place, int):  # In bytes of UTF-8.
            place = len(self.line.encode()[: getattr(place, "col_offset", 0)].decode())
        raise InputError(f"cannot read the mask at character {self.shift + place + 1}: {message}")


def _signature(name: str) -> str:
    """Returns the signature of a mask, without types."""
    parameters = inspect.signature(MASKS[name]).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
    return f"{name}({', '.join(shown)})"
