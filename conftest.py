"""What holds for every test and doctest; set before jax is imported."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Programs compiled by one test run are found again by the next, in the processes that tests start too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


@pytest.fixture
def x64() -> Iterator[None]:
    """64-bit arrays inside the test that asks for it."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture
def compile_quickly() -> Iterator[None]:
    """Few of XLA's optimisations: for tests that compile many small programs, each for one call."""
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


MAPPINGS = 20_000
"""Of memory, in a process; Linux gives it 65530, and what XLA compiles takes several for each program."""


@pytest.fixture(autouse=True, scope="module")
def _few_programs() -> Iterator[None]:
    """Lets go of compiled programs from time to time: out of mappings, XLA ends in a segmentation fault."""
    yield
    mappings = Path("/proc/self/maps")
    if "jax" in sys.modules and mappings.exists() and mappings.read_text().count("\n") > MAPPINGS:
        sys.modules["jax"].clear_caches()
        gc.collect()


# Compare many small programs, each compiled for one test, and hardly about what XLA makes of them.
QUICKLY = (
    "attnjax/",
    "tests/contracts/test_attention_semantics.py::TestBlockwise::test_12_forward_mode",
    "tests/contracts/test_attention_semantics.py::TestOneBlock",
    "tests/contracts/test_attention_semantics.py::TestReference",
    "tests/models/",
    "tests/nn/",
    "tests/ops/linear/test_bad_input",
    "tests/ops/linear/test_derivatives",
    "tests/ops/linear/test_empty",
    "tests/ops/linear/test_forms",
    "tests/ops/linear/test_members",
    "tests/ops/test_closures",
    "tests/ops/test_kernels",
    "tests/ops/test_normalizers",
    "tests/ops/test_positions",
    "tests/ops/test_properties",
    "tests/ops/test_symbolic_sizes",
    "tests/cli/test_corpora",
)


@pytest.fixture(autouse=True)
def _compile_quickly(request: pytest.FixtureRequest) -> None:
    """Of the tests listed above."""
    if request.node.nodeid.startswith(QUICKLY):
        request.getfixturevalue("compile_quickly")


# Long, and hardly about the versions of Python and jax: marked `once`, which CI runs on one of them.
ONCE = (
    "tests/contracts/test_attention_semantics.py::TestOneBlock",
    "tests/contracts/test_attention_semantics.py::TestReference",
    "tests/contracts/test_kill_resume.py::test_a_killed_run",
    "tests/data/",
    "tests/experiment/",
    "tests/runs/",
    "tests/sweeps/",
    "tests/explain/",
    "tests/nn/attention/test_mechanisms",
    "tests/ops/linear/test_derivatives",
    "tests/ops/linear/test_empty",
    "tests/ops/linear/test_forms",
    "tests/ops/linear/test_members",
    "tests/ops/linear/test_stability",
    "tests/ops/test_properties",
    "tests/tasks/",
    "tests/cli/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is listed above; single tests carry the mark themselves."""
    for item in items:
        if item.nodeid.startswith(ONCE):
            item.add_marker("once")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Doctests are looked for in the package, not in what tests import or start."""
    in_tests = Path(__file__).parent / "tests" in collection_path.parents
    return (
        True if in_tests and collection_path.suffix == ".py" and collection_path.name[:5] != "test_" else None
    )
