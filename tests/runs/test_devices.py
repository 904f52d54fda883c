import os
import subprocess
import sys

import jax
import pytest

from attnjax.config import InputError
from attnjax.runs import devices

pytestmark = pytest.mark.versions


@pytest.fixture
def eight_devices(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [object()] * 8)


@pytest.mark.usefixtures("eight_devices")
def test_without_a_wish_all_devices_share_the_batch():
    assert devices.choose_devices(64) == (8, None)


@pytest.mark.usefixtures("eight_devices")
def test_the_users_number_holds():
    assert devices.choose_devices(64, devices=2, began_with=4) == (2, None)


@pytest.mark.usefixtures("eight_devices")
def test_a_run_stays_on_the_number_it_began_with():
    assert devices.choose_devices(64, began_with=4) == (4, None)


@pytest.mark.usefixtures("eight_devices")
def test_more_devices_than_there_are_is_refused():
    with pytest.raises(InputError, match="--devices is 16: jax has 8 cpu device"):
        devices.choose_devices(64, devices=16)


@pytest.mark.parametrize(("batch", "used"), [(12, 6), (7, 7), (5, 5), (1, 1), (22, 2)])
@pytest.mark.usefixtures("eight_devices")
def test_a_batch_that_does_not_divide_goes_to_fewer_devices_and_says_so(batch, used):
    count, note = devices.choose_devices(batch)
    assert count == used
    assert note == f"a (micro-)batch of {batch} does not divide over 8 devices: using {used}"


@pytest.mark.usefixtures("eight_devices")
def test_a_run_that_began_on_more_devices_goes_on_with_those_that_are_there():
    assert devices.choose_devices(64, began_with=16) == (8, None)


def test_the_cache_folder_is_the_users_and_keyed_by_jaxlib(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    import jaxlib

    assert devices.cache_folder() == tmp_path / "attnjax" / f"jaxlib-{jaxlib.__version__}"


def test_jax_starts_with_the_cores_as_devices_and_keeps_what_it_compiles(tmp_path):
    code = (
        "from attnjax.runs import devices; devices.start_jax(3); import jax\n"
        "jax.jit(lambda x: x * 2 + 1)(1.0); print(len(jax.devices()))"
    )
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "3\n"
    assert list(tmp_path.glob("attnjax/jaxlib-*/*"))
