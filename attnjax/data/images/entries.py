"""The entries of a JSON file of images, whose fields are looked at before they are used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnjax.config import InputError

Types = tuple[type, ...]
TEXT: Types = (str,)
NUMBER: Types = (int, float)
LIST: Types = (list,)
ID: Types = (int, str)
_SAID = {TEXT: "a text", NUMBER: "a number", LIST: "a list", ID: "a whole number or a text"}


def entries(path: Path, holder: Mapping[str, Any], name: str, /, **fields: Types) -> list[Any]:
    """Returns a list of objects that a JSON file has, each of which has fields of these types.

    Args:
      path: of the file, for errors.
      holder: the object that has the list.
      name: of the list.
      **fields: the types of each field.

    Raises:
      InputError: There is no such list, or an entry is no object, lacks a field or has another type of it.

    Example:
      >>> entries(Path("a.json"), {"images": [{"id": 1, "file_name": 7}]}, "images", id=ID, file_name=TEXT)
      Traceback (most recent call last):
      attnjax.config.InputError: a.json: images[0] has file_name 7: expected a text
    """
    listed: Any = holder.get(name)
    if not isinstance(listed, list):
        raise InputError(f"{path}: {name} is {str(listed)[:40]}: expected a list")
    for number, entry in enumerate(listed):
        if wrong := _wrong(entry, fields):
            raise InputError(f"{path}: {name}[{number}] {wrong}")
    return listed


def _wrong(entry: Any, fields: Mapping[str, Types]) -> str | None:
    """Returns what is wrong with an entry.

    Only that is written out: a file may have a million entries, each with the outline of an object.
    """
    if not isinstance(entry, dict):
        return f"is {str(entry)[:40]}: expected an object"
    for field, types in fields.items():
        if field not in entry:
            return f"lacks {field}: expected {_SAID[types]}"
        value = entry[field]
        if not isinstance(value, types) or isinstance(value, bool):
            return f"has {field} {str(value)[:40]}: expected {_SAID[types]}"
    return None


def by_id(path: Path, name: str, listed: list[Any]) -> dict[Any, Any]:
    """Returns entries by their "id". Raises InputError where two have the same.

    >>> by_id(Path("a.json"), "images", [{"id": 3}])
    {3: {'id': 3}}
    """
    found: dict[Any, Any] = {}
    for entry in listed:
        if entry["id"] in found:
            raise InputError(f"{path}: two of {name} have the id {entry['id']!r}: expected one of each")
        found[entry["id"]] = entry
    return found
