"""What holds for every test and doctest; set before jax is imported."""

import gc
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

# Programs compiled by one process of a test run are found again by the others and by the next run, small ones
# too: to write one takes a tenth of the time of compiling it, to read it a fifth.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# XLA would spend most of the time of the tests on making fast what runs once. With few optimisations it takes
# a sixth of that, here and in processes that tests start. Tests about its programs are marked `optimised`.
FLAGS = {"xla_cpu_use_fusion_emitters": (False, True), "xla_cpu_parallel_codegen_split_count": (1, 32)}
# Later versions end the process at a flag that they lack.
if not version("jaxlib").startswith("0.10."):
    FLAGS = {}
FEW = " ".join(f"--{name}={few}".lower() for name, (few, _) in FLAGS.items())
OPTIMISED = False


def set_environment(optimised: bool) -> None:
    """Of the processes that tests start, and of this one until jax reads it."""
    given = os.environ.get("XLA_FLAGS", "").replace(FEW, "").strip()
    os.environ["XLA_FLAGS"] = given if optimised else f"{FEW} {given}".strip()
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "0" if optimised else "1"


set_environment(OPTIMISED)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compiles what is marked `optimised` as users do, and forgets what was compiled in another way."""
    global OPTIMISED
    optimised = item.get_closest_marker("optimised") is not None
    if optimised == OPTIMISED:
        return
    OPTIMISED = optimised
    set_environment(optimised)

    import jax
    from jax._src import compiler  # XLA reads its flags once; no public option reaches every program.

    if not hasattr(compiler, "of_the_flags"):
        compiler.of_the_flags = compiler.get_compile_options

    def get_compile_options(*args: object, **kwargs: object) -> object:
        options = compiler.of_the_flags(*args, **kwargs)
        options.env_option_overrides = [
            *((name, values[OPTIMISED]) for name, values in FLAGS.items()),
            *options.env_option_overrides,
        ]
        return options

    compiler.get_compile_options = get_compile_options
    jax.config.update("jax_disable_most_optimizations", not optimised)
    jax.clear_caches()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what is optimised last: few changes from one to the other."""
    items.sort(key=lambda item: item.get_closest_marker("optimised") is not None)


def pytest_collection_finish() -> None:
    """What the modules hold stays: the collector need not walk through it, nor come each 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(autouse=True, scope="session")
def _few_programs_outside_of_jit() -> Iterator[None]:
    """What is small is drawn and computed without a program for each shape."""
    if "jax" not in sys.modules or not FLAGS:
        yield
        return
    from tests.eager import by_numpy
    from tests.random_numbers import drawn_in_few_sizes

    with by_numpy(), drawn_in_few_sizes():
        yield


@pytest.fixture
def x64() -> Iterator[None]:
    """64-bit arrays inside the test that asks for it."""
    import jax

    with jax.enable_x64(True):
        yield


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


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Doctests are looked for in the package, not in what tests import or start."""
    in_tests = Path(__file__).parent / "tests" in collection_path.parents
    return (
        True if in_tests and collection_path.suffix == ".py" and collection_path.name[:5] != "test_" else None
    )
