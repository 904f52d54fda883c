"""The same toy is compiled in many tests: once is enough."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], before[names[0]] or str(tmp_path_factory.mktemp("compilation")))
    jax.config.update(names[1], 0.0)
    yield
    for name in names:
        jax.config.update(name, before[name])
