"""Meshes and rules in words."""

import pytest

from attnjax.config import InputError
from attnjax.train.mesh import PRESETS, MeshShape, fill_mesh, read_mesh, read_rules, write_rules


@pytest.mark.parametrize(
    ("text", "available", "expected"),
    [
        ("data=4,fsdp=2,model=4,context=2", 64, MeshShape(4, 2, 4, 2)),
        (" model = 2 ", 8, MeshShape(model=2)),
        ("auto", 8, MeshShape(data=8)),
        ("data=auto,model=2", 9, MeshShape(data=4, model=2)),
    ],
)
def test_a_text_is_a_mesh(text: str, available: int, expected: MeshShape) -> None:
    assert fill_mesh(read_mesh(text), available) == expected


@pytest.mark.parametrize(
    ("rules", "axis"), [("replicated", "data"), ("fsdp+tensor", "fsdp"), ("tensor", "model")]
)
def test_auto_is_the_axis_that_the_rules_split_parameters_over(rules: str, axis: str) -> None:
    assert read_mesh("auto", PRESETS[rules]) == {axis: None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date=4", "mesh is 'date=4': unknown axis 'date'; did you mean data?"),
        ("rows=4", "unknown axis 'rows'; there are data, fsdp, model, context"),
        ("data=0", "data must be a whole number ≥ 1 or auto, got '0'"),
        ("data=-2", "got '-2'"),
        ("data=two", "got 'two'"),
        ("data=2,data=2", "data is there twice"),
        ("data=auto,fsdp=auto", "one axis at most can be auto"),
        ("8", "expected auto or axes as data=4,fsdp=2"),
        ("", "expected auto or axes"),
    ],
)
def test_a_text_that_is_no_mesh_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_mesh(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "available", "said"),
    [
        (
            "data=4,model=2",
            6,
            "mesh data=4,model=2 needs 8 devices: jax has 6; data must be smaller, data=3,model=2 fits",
        ),
        ("fsdp=16", 8, "fsdp must be smaller, fsdp=8 fits"),
        ("data=4,model=4", 2, "data and model must be smaller, model=2 fits"),
    ],
)
def test_a_mesh_beyond_the_devices_names_the_nearest_that_fits(text: str, available: int, said: str) -> None:
    with pytest.raises(InputError) as error:
        fill_mesh(read_mesh(text), available, f"jax has {available}")
    assert said in str(error.value)


def test_a_batch_that_is_not_split_evenly_names_the_nearest_mesh_that_fits() -> None:
    assert MeshShape(data=2, fsdp=2, model=3).require_batch(8).model == 3
    with pytest.raises(
        InputError, match="is 8: data=3 · fsdp=2 of the mesh must divide it; data=2,fsdp=2,model=2 fits"
    ):
        MeshShape(data=3, fsdp=2, model=2).require_batch(8)
    with pytest.raises(
        InputError, match="is 6: data=3 · fsdp=3 of the mesh must divide it; data=2,fsdp=3 fits"
    ):
        MeshShape(data=3, fsdp=3).require_batch(6)


def test_rules_are_a_preset_with_changes_of_which_ones_own_come_first() -> None:
    assert read_rules("fsdp+tensor") == PRESETS["fsdp+tensor"]
    assert read_rules("mlp=model, heads=context") == {"mlp": "model", "heads": "context"}
    assert list(read_rules("fsdp,vocab=model").items()) == [
        ("vocab", "model"),
        ("embed", "fsdp"),
        ("*", "fsdp"),
    ]
    assert read_rules("fsdp,*=none") == {"embed": "fsdp"}


@pytest.mark.parametrize("text", [*PRESETS, "mlp=model,heads=model", "fsdp,vocab=model"])
def test_rules_are_read_as_they_are_written(text: str) -> None:
    rules = read_rules(text)
    assert list(read_rules(write_rules(rules)).items()) == list(rules.items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fdsp", "rules are 'fdsp': unknown preset 'fdsp'; did you mean fsdp?"),
        ("mlp=modle", "unknown axis 'modle'; did you mean model?"),
        ("fsdp,mlp", "expected rules as mlp=model after a preset, got 'mlp'"),
        ("mlp=model,mlp=fsdp", "mlp is there twice"),
    ],
)
def test_rules_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_rules(text)
    assert said in str(error.value)
