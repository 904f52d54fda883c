"""The mesh of a run, from what is asked for and what there is."""

from types import SimpleNamespace
from typing import Any

import jax
import pytest

from attnjax.config import InputError
from attnjax.runs.placement import ALONE, Placement, choose_placement, place_reader, wish_of
from attnjax.train.mesh import PRESETS, MeshShape


@pytest.fixture(autouse=True)
def eight_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "devices", lambda: [object()] * 8)


def chosen(batch: int = 64, began: dict[str, Any] | None = None, config: Any = None, **asked: Any) -> str:
    wish = wish_of(config, began=began, **asked)
    placement, note = choose_placement(wish, batch, began["devices"] if began else None)
    words = placement.record["placed"]
    return f"{words['mesh']} {words['rules']}" + (f": {note}" if note else "")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "data=8 replicated"),
        ({"devices": 2}, "data=2 replicated"),
        ({"mesh": "fsdp=4,model=2", "rules": "fsdp+tensor"}, "fsdp=4,model=2 fsdp+tensor"),
        ({"rules": "fsdp"}, "fsdp=8 fsdp"),
        ({"rules": "tensor", "devices": 4}, "model=4 tensor"),
        ({"mesh": "data=auto,model=2", "rules": "mlp=model"}, "data=4,model=2 mlp=model"),
        (
            {"rules": "fsdp", "batch": 12},
            "fsdp=6 fsdp: a (micro-)batch of 12 does not divide over fsdp=8: using fsdp=6",
        ),
    ],
)
def test_what_is_asked_for_is_made_of_the_devices(asked: dict[str, Any], expected: str) -> None:
    assert chosen(**asked) == expected


def test_a_run_stays_on_the_mesh_that_it_began_with_until_another_is_asked_for() -> None:
    began = Placement(MeshShape(fsdp=2, model=2), PRESETS["fsdp+tensor"]).record
    began = {"devices": began["devices"], **began["placed"]}
    assert chosen(began=began) == "fsdp=2,model=2 fsdp+tensor"
    assert chosen(began=began, mesh="data=2") == "data=2 replicated"
    assert chosen(began={"devices": 4}) == "data=4 replicated"  # A record of before there were meshes.
    assert chosen(began={"devices": 4, "mesh": "data=4", "rules": "replicated"}) == "data=4 replicated"


def test_a_config_may_say_both_and_the_command_goes_first() -> None:
    config = SimpleNamespace(mesh="data=2,fsdp=4", rules="fsdp")
    assert chosen(config=config) == "data=2,fsdp=4 fsdp"
    assert chosen(config=config, mesh="data=8") == "data=8 fsdp"
    assert chosen(config=config, rules="embed=fsdp") == "data=2,fsdp=4 embed=fsdp"
    assert chosen(config=config, devices=4) == "fsdp=4 fsdp"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"mesh": "data=4,model=4"},
            "needs 16 devices: jax has 8 cpu device(s); data must be smaller, data=2,model=4",
        ),
        (
            {"mesh": "data=4", "devices": 2},
            "mesh data=4 needs 4 devices: --devices is 2; data must be smaller, data=2",
        ),
        ({"mesh": "data=4", "devices": 9}, "--devices is 9: jax has 8 cpu device(s)"),
        ({"mesh": "data=4", "batch": 6}, "accumulate is 6: data=4 of the mesh must divide it; data=3 fits"),
        ({"mesh": "date=4"}, "unknown axis 'date'; did you mean data?"),
        ({"rules": "fsdb"}, "unknown preset 'fsdb'; did you mean fsdp?"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        chosen(**asked)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None, None), ALONE),
        ((4, None, None), Placement(MeshShape(data=4), {})),
        ((None, "fsdp=2,context=2", "fsdp"), Placement(MeshShape(fsdp=2, context=2), PRESETS["fsdp"])),
        ((4, None, "tensor"), Placement(MeshShape(model=4), PRESETS["tensor"])),
    ],
)
def test_a_trained_model_answers_on_one_device_unless_more_are_asked_for(asked: Any, expected: Any) -> None:
    assert place_reader(*asked) == expected
