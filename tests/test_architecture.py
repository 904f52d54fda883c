"""The house stands: imports go downwards, nothing goes round, moving libraries have one file each."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "config": 0,
    "lazy": 0,
    "mechanisms": 1,
    "experiment": 2,
    "ops": 1,
    "linear": 2,
    "nn": 2,
    "testing": 3,
    "interop": 3,
    "models": 3,
    "data": 3,
    "pretrained": 4,
    "tasks": 5,
    "train": 6,
    "runs": 7,
    "sweeps": 8,
    "explain": 9,
    "export": 9,
    "cli": 10,
    "__main__": 11,
}
# Names that a floor gives out for one above it, lazily, since people look for them there.
GIVEN_OUT = {"attnjax.models imports attnjax.pretrained.folder"}
# Third-party interfaces that move between releases, and the one file that knows each.
TOUCHED_BY = {
    "babel": "attnjax/data/text/date_formats.py",
    "jinja2": "attnjax/data/text/chat.py",
    "optuna": "attnjax/sweeps/search.py",
    "orbax": "attnjax/train/checkpoint.py",
    "PIL": "attnjax/data/images/files.py",
    "rdkit": "attnjax/data/molecules/chemistry.py",
    "ray": "attnjax/sweeps/on_ray.py",
    "rouge_score": "attnjax/tasks/metrics/summaries.py",
    "sacrebleu": "attnjax/tasks/metrics/text.py",
    "sklearn": "attnjax/data/scikit_learn.py",
    "transformers": "attnjax/pretrained/verify.py",
    "tokenizers": "attnjax/data/text/tokenizer.py",
    "tyro": "attnjax/experiment/overrides.py",
}
# Modules of JAX that change without notice. Of jax.core only Tracer is known elsewhere, for isinstance.
SEMI_PRIVATE = ("jax._src", "jax.extend", "jax.interpreters", "jax.core")
FENCE = "attnjax/ops/core/primitives.py"
OPS_MAY_IMPORT = {"jax", "numpy", "jaxtyping"} | set(sys.stdlib_module_names)
HEAVY = {
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax",
    "numpy",
    "matplotlib",
    "tokenizers",
    "babel",
    "ray",
}
# Of what training and its first step import, nothing needs these.
LATER = {
    "matplotlib",
    "sacrebleu",
    "rouge_score",
    "optuna",
    "polars",
    "pandas",
    "orbax",
    "ray",
    "torch",
    "tensorboardX",
    "wandb",
    "mlflow",
}

Sources = dict[str, tuple[Path, str]]


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def sources() -> Sources:
    """Module name -> (file, text) of the whole package, which is read once; nobody changes it."""
    files = [file for file in ROOT.glob("attnjax/**/*.py") if "_experiments" not in file.parts]
    return {module_name(file): (file, file.read_text()) for file in sorted(files)}


@functools.cache
def statements(text: str) -> list[ast.Import | ast.ImportFrom]:
    """The imports of a file, those inside functions too."""
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(module: str, modules: Sources) -> Iterator[str]:
    """Every module that `module` imports (`from package import module`: the module)."""
    file, text = modules[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(text):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base


def inside(module: str, modules: Sources) -> set[str]:
    return {name for name in imports(module, modules) if name.split(".")[0] == "attnjax"}


def room(module: str) -> str:
    """The first name below attnjax; the package's own face stands for the primitives that it gives out."""
    return module.split(".")[1] if "." in module else "ops"


def upward_imports(modules: Sources) -> list[str]:
    """Imports that do not go to a lower floor, nor stay in their room."""
    return [
        f"{module} imports {target}"
        for module in modules
        for target in sorted(inside(module, modules))
        if room(module) != room(target) and FLOORS[room(target)] >= FLOORS[room(module)]
    ]


def circle(modules: Sources) -> list[str]:
    """One circle of imports, or nothing."""
    graph = {module: inside(module, modules) - {module} for module in modules}
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def outside_ops(modules: Sources) -> list[str]:
    """What the primitives import beyond jax, numpy, jaxtyping, the standard library and each other."""
    return [
        f"{module} imports {target}"
        for module in modules
        if module.startswith("attnjax.ops")
        for target in imports(module, modules)
        if target.split(".")[0] not in OPS_MAY_IMPORT and not target.startswith("attnjax.ops")
    ]


def touching(library: str, modules: Sources) -> set[str]:
    return {
        str(modules[module][0].relative_to(ROOT))
        for module in modules
        if any(target.split(".")[0] == library for target in imports(module, modules))
    }


@functools.cache
def names_the_semi_private(text: str) -> bool:
    """Whether a file imports one of JAX's semi-private modules, or names what lies in it."""
    nodes = list(ast.walk(ast.parse(text)))
    named = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    named -= {"jax.core", "jax.core.Tracer"}
    return any(f"{name}.".startswith(f"{part}.") for name in named for part in SEMI_PRIVATE)


def touching_the_semi_private(modules: Sources) -> set[str]:
    return {str(file.relative_to(ROOT)) for file, text in modules.values() if names_the_semi_private(text)}


def planted(module: str, text: str) -> Sources:
    """The real package with one module more (or another text for one that exists)."""
    return sources() | {module: (ROOT / Path(*module.split(".")).with_suffix(".py"), text)}


def test_imports_go_downwards_only():
    assert set(upward_imports(sources())) == GIVEN_OUT


@pytest.mark.parametrize(
    "text",
    [
        "import attnjax.train",
        "from attnjax import models",
        "from ..tasks import x",
        "def late():\n    from attnjax.cli import main",
    ],
)
def test_an_upward_import_is_seen(text):
    assert len(set(upward_imports(planted("attnjax.nn.planted", text))) - GIVEN_OUT) == 1


def test_rooms_of_one_floor_do_not_know_each_other():
    assert upward_imports(planted("attnjax.data.planted", "from attnjax.models import config"))


def test_no_circular_imports():
    assert circle(sources()) == []


def test_a_circle_is_seen():
    both = planted("attnjax.nn.one", "from . import two") | planted(
        "attnjax.nn.two", "def late():\n    import attnjax.nn.one"
    )
    assert set(circle(both)) == {"attnjax.nn.one", "attnjax.nn.two"}


def test_ops_import_jax_and_numpy_only():
    assert outside_ops(sources()) == []


@pytest.mark.parametrize("text", ["import flax.nnx", "from attnjax.config import InputError", "import chex"])
def test_another_import_in_ops_is_seen(text):
    assert len(outside_ops(planted("attnjax.ops.planted", text))) == 1


@pytest.mark.parametrize("library", TOUCHED_BY)
def test_a_moving_library_is_touched_in_one_file(library):
    assert touching(library, sources()) == {TOUCHED_BY[library]}


def test_a_second_file_that_touches_a_moving_library_is_seen():
    assert len(touching("orbax", planted("attnjax.train.planted", "import orbax.checkpoint as ocp"))) == 2


def test_semi_private_jax_is_touched_in_one_file():
    assert touching_the_semi_private(sources()) == {FENCE}


@pytest.mark.parametrize(
    "text",
    [
        "from jax.interpreters import ad",
        "from jax import extend",
        "import jax._src.core",
        "import jax\n\ndef late(x):\n    return jax.core.get_aval(x)",
        "from jax.core import eval_jaxpr",
    ],
)
def test_a_second_file_that_touches_semi_private_jax_is_seen(text):
    assert touching_the_semi_private(planted("attnjax.train.planted", text)) == {
        FENCE,
        "attnjax/train/planted.py",
    }


def heavy_after(statement: str, heavy: set[str] = HEAVY) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after the statement."""
    code = f"import sys\n{statement}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return heavy & set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_what_starts_quickly_loads_nothing_heavy():
    """A process for all: what one of them loads, it has loaded."""
    quick = ["attnjax", "attnjax.cli", "attnjax.experiment.registry", "attnjax.mechanisms"]
    quick += [name for name in sources() if name.endswith("config")]
    assert heavy_after(f"import {', '.join(quick)}") == set()


def test_the_first_step_comes_without_what_only_the_evaluation_needs():
    modules = (
        "runs.start",
        "tasks.rehearsal",
        "tasks.translation.task",
        "train.loop",
        "train.observers.progress",
    )
    statement = "; ".join(f"import attnjax.{module}" for module in modules)
    assert heavy_after(statement, LATER) == set()


def test_the_command_line_answers_without_jax():
    commands = [command.split() for command in ("list", "list mechanisms", "show gla", "--help")]
    each = f"for command in {commands}:\n        assert main(command) == 0"
    ends = "except SystemExit as end:\n    assert not end.code"  # --help, the last, ends so.
    assert "jax" not in heavy_after(f"from attnjax.cli import main\ntry:\n    {each}\n{ends}")


def test_loading_what_is_heavy_is_seen():
    assert heavy_after("import numpy") == {"numpy"}


def test_no_two_public_classes_have_one_name():
    homes: dict[str, list[str]] = {}
    for module, (_, text) in sources().items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def shadowed(modules: Sources) -> list[str]:
    """Names that a package gives out lazily and that are also files in it: importing the file would win."""
    found = []
    for module, (file, text) in modules.items():
        if file.name == "__init__.py" and "if TYPE_CHECKING:" in text:
            given = {name.rpartition(" as ")[2] for name in re.findall(r"import \w+ as \w+", text)}
            found += sorted(f"{module}.{name}" for name in given if f"{module}.{name}" in modules)
    return found


def test_no_lazy_name_is_that_of_a_file_beside_it():
    assert shadowed(sources()) == []
    assert shadowed(planted("attnjax.models.generate", "")) == ["attnjax.models.generate"]
