"""A folder of small modules with docstrings, of each part some."""

from pathlib import Path


def write_modules(folder: Path) -> Path:
    """Writes shop.py and lamp.py (training), stone.py (validation) and the package clock (test)."""
    (folder / "clock").mkdir()
    (folder / "shop.py").write_text(
        module(
            [(f"Return the price of {name}.", f"The {name} is sold in the shop.") for name in NAMES]
            + [("Open the shop at the hour that a long table has for it.", "A table has the hours.")]
        )
        + '\n\ndef close():\n    """Close the shop."""\n'
    )
    (folder / "lamp.py").write_text(
        module([(f"Light the {name} lamp now.", f"The {name} lamp is dark before.") for name in NAMES])
        + '\n\ndef dim():\n    """Make the lamp\n    darker than before."""\n'
    )
    (folder / "stone.py").write_text(
        module([(f"Throw the {name} stone far.", f"A {name} stone flies.") for name in NAMES[:3]])
        # The same text as in the shop.
        + '\n\ndef again():\n    """Another line for it.\n\n    The apple is sold in the shop.\n    """\n'
    )
    for name in ("hands", "face"):
        pairs = [(f"Turn the {name} {many} times.", f"The {name} turn {many} times.") for many in NAMES[:2]]
        (folder / "clock" / f"{name}.py").write_text(module(pairs))
    (folder / "wrong.py").write_text("def (:\n")
    return folder


def module(pairs: list[tuple[str, str]]) -> str:
    """Returns the source of a module with a function for each first line and what follows it."""
    return "\n\n".join(
        f'def f{i}():\n    """{first}\n\n    {text}\n    """\n' for i, (first, text) in enumerate(pairs)
    )


NAMES = ("apple", "bread", "cheese", "date", "egg", "fig", "grape", "honey")
