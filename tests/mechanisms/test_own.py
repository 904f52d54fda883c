"""A user's own mechanisms have the rights of the others: config, decoding, sweep, list, show."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attnjax.cli import main
from attnjax.config import InputError
from attnjax.experiment import registry
from attnjax.mechanisms import Mechanism, catalogue, find, mechanism
from attnjax.models import LanguageModel, LanguageModelConfig
from tests.daily import daily

FOLDER = Path(__file__).parent / "user_folder"
OWN = (
    "every_other & Temperature(start=3) & sink",
    "mean_of_all(power=1)",
    "my_gla+softmax",
    "Passing(gain=2)",
)
TOKENS = jnp.arange(14).reshape(2, 7) % 11


@pytest.fixture(autouse=True)
def own_mechanisms():
    """Loads the folder, and forgets its mechanisms again."""
    before = dict(catalogue._TABLE)
    assert registry.discover(FOLDER) == []
    yield
    catalogue._TABLE.clear()
    catalogue._TABLE.update(before)
    registry._LOADED.discard((FOLDER / "own.py").resolve())


def build(mechanism: str) -> LanguageModel:
    sizes = {"dim": 8, "heads": 2, "hidden": 8, "layers": 1 + mechanism.count("+"), "positions": "none"}
    # What a layer does not take may not be asked of it.
    sizes |= {} if mechanism.startswith("Passing") else {"kv_heads": 1}
    return LanguageModel(LanguageModelConfig(mechanism=mechanism, **sizes), vocab=11, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("mechanism", daily(OWN, [OWN[0], OWN[2]]))
def test_a_model_of_it_trains_and_decodes(mechanism: str) -> None:
    model = build(mechanism)
    graphdef, params = nnx.split(model, nnx.Param)

    def loss(params: nnx.State) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graphdef, params)(TOKENS).logits
        return (logits**2).mean(), logits

    gradient, expected = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
    step = jax.jit(lambda tokens, cache: model(tokens, cache=cache)[:2])
    first, cache = step(TOKENS[:, :4], model.init_cache(2, 8))
    rest, cache = step(TOKENS[:, 4:], cache)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "rope is 'halves': Passing takes no rope; of a model's positions choose sinusoidal, learned or"),
        ({"kv_heads": 1}, "kv_heads is 1: Passing takes no kv_heads"),
        ({"head_dim": 4}, "head_dim is 4: Passing takes no head_dim"),
        ({"qk_norm": True}, "qk_norm is True: Passing takes no qk_norm"),
        ({"bias": False}, "bias is False: Passing takes no bias"),
        ({"dtype": "bfloat16"}, "dtype is dtype\\(bfloat16\\): Passing takes no dtype"),
    ],
)
def test_what_a_layer_does_not_take_is_refused(asked: dict[str, object], message: str) -> None:
    config = LanguageModelConfig(
        dim=8, mechanism="Passing", **({"positions": "none"} if asked else {}), **asked
    )
    with pytest.raises(InputError, match=message):
        LanguageModel(config, vocab=11, rngs=nnx.Rngs(0))


def test_what_is_declared_is_read_from_the_function() -> None:
    row = find("every_other")
    assert (row.kind, row.formula) == ("recipe", "Token i sees every other token from itself.")
    assert {name: option.default for name, option in row.options.items()} == {"step": 2}
    assert row.place.endswith("own.py:13")
    assert find("mean_of_all").causal_only
    with pytest.raises(InputError, match="every_other: step is 'x': expected a whole number"):
        LanguageModelConfig(mechanism="every_other(step='x')")


def test_list_and_show_know_it(capsys) -> None:
    assert main(["list", "mechanisms", "--experiments", str(FOLDER)]) == 0
    listed = capsys.readouterr().out
    assert "layers of your own:\n  Passing" in listed
    assert "my_gla S_t = e^{g_t} S_{t-1} + k_t v_tᵀ; o_t = S_tᵀ q_t." in " ".join(listed.split())
    assert main(["show", "every_other(step=3)", "--experiments", str(FOLDER)]) == 0
    shown = capsys.readouterr().out
    assert "own.py:13" in shown
    assert "step: a whole number" in shown
    assert "■ · · ■ · · ■ · · ■ · · ■ · · ■" in shown


def test_a_shipped_experiment_runs_with_it_in_a_sweep(tmp_path, monkeypatch, capsys) -> None:
    """The processes of a sweep load its file, and so does who looks at it without the folder."""
    monkeypatch.chdir(tmp_path)
    sizes = "--model.dim 8 --model.head_dim 4 --model.hidden 8 --train.steps 2 --train.warmup_steps 1".split()
    sizes += "--train.checkpoint_every 2 --data.evaluation_examples 16 --train.batch_size 2".split()
    grid = ["--grid", "model.mechanism=every_other(step=3)+my_gla"]
    code = main(["sweep", "recall", *grid, *sizes, "--experiments", str(FOLDER), "--name", "own"])
    assert code == 0, capsys.readouterr().err
    records = [json.loads(file.read_text()) for file in Path("runs").rglob("sweep.json")]
    assert [record["mechanisms"] for record in records] == [[str(FOLDER / "own.py")]]
    assert "every_other(step=3)+my_gla" in capsys.readouterr().out


def test_two_of_one_name_are_refused(tmp_path, capsys) -> None:
    shutil.copy(FOLDER / "own.py", tmp_path / "other.py")
    assert main(["list", "mechanisms", "--experiments", str(tmp_path)]) == 2
    assert "mechanism 'every_other' is defined twice: " in capsys.readouterr().err
    with pytest.raises(InputError, match="mechanism of 'masks': expected one of attention, mask"):
        mechanism("masks")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mechanism 'gla' is defined twice: attnjax and "):
        mechanism("layer", name="gla")(nnx.Linear)


def test_an_installed_package_registers_its_own(monkeypatch) -> None:
    """By an entry point, read when a name is not known."""

    class Point:
        value = "theirs.attention"

        def load(self) -> None:
            catalogue.register(Mechanism(name="theirs", formula="", target="builtins:len", place="theirs:1"))

    class Broken(Point):
        def load(self) -> None:
            raise ImportError("no module named theirs")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point(), Broken()])
    catalogue.load_entry_points.cache_clear()
    assert find("theirs").function is len
    with pytest.raises(
        InputError, match=r"; not loaded: entry point theirs\.attention: ImportError: no module"
    ):
        find("nobody's")
    catalogue.load_entry_points.cache_clear()
