"""Futures of cars by attention among them, beside constant velocity; does it find the car that matters?"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from attnjax.config import require
from attnjax.data.driving.config import KINDS, DrivingData
from attnjax.data.driving.frames import MOVES_MPS, constant_velocity
from attnjax.data.driving.rules import AHEAD_M, DrivenScenes
from attnjax.data.driving.source import LEARNED, MORE, Traffic
from attnjax.mechanisms import read
from attnjax.models.agents import AgentModel
from attnjax.models.agents_config import AgentsConfig
from attnjax.nn import Capture
from attnjax.nn.dropout import Dropout
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.driving.future import Future
from attnjax.tasks.driving.scores import futures_score, pointing_score, random_pointing
from attnjax.tasks.model_task import ModelTask

READ = ("seen", "present", "base")
"""The arrays that a model is given."""
EXPLAINED = 256
"""Scenes of the test, in which the minded car matters, that attention is measured on."""
PICTURE = "scenes.png"


class DrivingTask(ModelTask[AgentModel]):
    """Trains an `AgentModel` to predict where each car of a scene will be, in a few futures.

    What the model predicts is how far a car will be from where its speed and heading would bring it. The loss
    is the mean distance of the best future of each car, and the cross-entropy of which one that is.

    Args:
      data: the scenes.
      model: the shape of the model.
      batch_size: scenes, of all hosts together.

    Raises:
      InputError: a file cannot be used.
    """

    def __init__(self, data: DrivingData, model: AgentsConfig, *, batch_size: int) -> None:
        self._data, self.config = data, model
        self._traffic = Traffic(data, batch_size=batch_size)
        self._has_weights = all(choice.row.has_weights for choice in read(model.mechanism))

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """The minADE of moving cars."""
        return "minADE", "min"

    def build(self, rngs: nnx.Rngs) -> AgentModel:
        """Returns a model of what is seen of a car."""
        width = 4 * self._data.past - 2 + 2 * len(AHEAD_M) + 2
        return AgentModel(self.config, width, self._data.future, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's arrays of a step: "seen", "present", "base" and "future" [B, C, …]."""
        return self._traffic.batch(step)

    def loss_of(
        self,
        model: AgentModel,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the mean over cars of the distance of the best future, in metres, and its cross-entropy."""
        given = model(batch["seen"], present=batch["present"], dropout=dropout)
        off = batch["base"][:, :, None] + given.places - batch["future"][:, :, None]
        # The square root has no gradient at 0.
        far = jnp.sqrt((off**2).sum(-1) + 1e-6).mean(-1)
        best = jax.lax.stop_gradient(far.argmin(-1))
        least = jnp.take_along_axis(far, best[..., None], axis=-1)[..., 0]
        log_p = jax.nn.log_softmax(given.logits)
        chosen = -jnp.take_along_axis(log_p, best[..., None], axis=-1)[..., 0]
        there = batch["present"].astype(jnp.float32)
        weight = there.sum()
        distance, surprise = (there * least).sum() / weight, (there * chosen).sum() / weight
        return distance + surprise, {"loss": distance + surprise, "distance": distance, "weight": weight}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns minADE and minFDE of moving cars."""
        scores = self._score(params, self._validation, "moving")
        return {"minADE": scores["minADE m"], "minFDE": scores["minFDE m"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns rows of moving and of standing cars by the model and by simpler ones, and of attention.

        Where the minded car is known, car 0 of the scenes in which it matters has rows too. The picture shows
        a scene of each kind from above.
        """
        rows: dict[str, dict[str, float]] = {}
        test = self._test
        for group in self._groups(test):
            rows[f"model: {group}"] = self._score(params, test, group)
            for name, places in self._simpler(test, group).items():
                chosen = _chosen(test, group)
                own = places[chosen][:, None]
                rows[f"{name}: {group}"] = futures_score(own, np.zeros(own.shape[:2]), test["future"][chosen])
        if (more := self._traffic.crowded()) is not None:
            rows[f"model, {MORE} cars more: moving"] = self._score(params, more, "moving")
            rows |= self._pointing(params)
        figures = [self._picture(params, folder)] if self._has_weights else []
        return Evaluation(rows, figures=figures)

    def read_input(self, text: str) -> np.ndarray:
        """Returns the places [C, P, 2] of cars: "x,y x,y …; x,y x,y …" in metres, car 0 first.

        Raises:
          InputError: a place is no pair of numbers, or a car has not the number of places that are seen.
        """
        cars = []
        for number, own in enumerate(text.split(";")):
            places = [place.split(",") for place in own.split()]
            require(
                len(places) == self._data.past,
                f"car {number} has {len(places)} place(s): expected {self._data.past}, as x,y x,y …; x,y …",
            )
            try:
                cars.append([(float(x), float(y)) for x, y in places])
            except ValueError:
                require(False, f"car {number}: {own.strip()!r}: expected pairs of numbers such as 3.5,0")
        return np.array(cars)

    def predict(self, params: Params, inputs: Sequence[np.ndarray]) -> list[Future]:
        """Returns the futures of car 0 of each scene. Nothing is known of lanes."""
        past = self._data.past
        most = max(map(len, inputs))
        places = np.zeros((len(inputs), most, past + self._data.future, 2))
        present = np.zeros((len(inputs), most), bool)
        for row, own in enumerate(inputs):
            places[row, : len(own), :past] = own
            present[row, : len(own)] = True
        nobody = np.full(len(inputs), -1)
        lanes = np.repeat(places[:, :, past - 1, None], len(AHEAD_M), axis=2)
        scenes = DrivenScenes(places, present, lanes, nobody, nobody > 0, places[:, 0, past:], nobody)
        arrays = self._traffic.framed(scenes)
        modes, logits = self._futures(params, arrays)
        weights = self._weights(params, arrays)[0] if self._has_weights else None
        answers = []
        for row, own in enumerate(inputs):
            order = np.argsort(-logits[row, 0], kind="stable")
            chances = np.exp(logits[row, 0] - logits[row, 0].max())
            chances = (chances / chances.sum())[order]
            ways = modes[row, 0].astype(float).round(3)
            futures = tuple(tuple(map(tuple, ways[i].tolist())) for i in order)
            attended = () if weights is None else tuple(weights[row, : len(own)].tolist())
            answers.append(Future(self._data.seconds, tuple(chances.tolist()), futures, attended))
        return answers

    @property
    def validation(self) -> Arrays:
        """The scenes of `validate`, as training has them."""
        return {name: self._validation[name] for name in LEARNED}

    @cached_property
    def _validation(self) -> Arrays:
        return self._traffic.part("validation")[0]

    @property
    def _test(self) -> Arrays:
        return self._tested[0]

    @cached_property
    def _tested(self) -> tuple[Arrays, DrivenScenes]:
        return self._traffic.part("test")

    def _groups(self, arrays: Arrays) -> list[str]:
        groups = ["moving", "standing"] + (["car 0, it matters"] if arrays["matters"].any() else [])
        return [group for group in groups if _chosen(arrays, group).any()]

    def _simpler(self, arrays: Arrays, group: str) -> dict[str, np.ndarray]:
        changing = constant_velocity(arrays, self._data.seconds, change=True)
        found = {"constant velocity": arrays["base"], "constant acceleration": changing}
        if group.startswith("car 0"):
            alone = np.broadcast_to(arrays["alone"][:, None], arrays["base"].shape)
            found["the rules without the minded car"] = alone
        return found

    def _score(self, params: Params, arrays: Arrays, group: str) -> dict[str, float]:
        places, logits = self._futures(params, arrays)
        chosen = _chosen(arrays, group)
        return futures_score(places[chosen], logits[chosen], arrays["future"][chosen])

    def _futures(self, params: Params, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
        found: tuple[np.ndarray, np.ndarray] = self.infer(
            _futures, params, {name: arrays[name] for name in READ}
        )
        return found

    def _weights(self, params: Params, arrays: Arrays) -> np.ndarray:
        """Returns the weights of car 0 [L, n, C], the mean over heads of each layer."""
        found: np.ndarray = self.infer(_weights, params, {name: arrays[name] for name in READ})
        return np.moveaxis(found, 1, 0)

    def _moved(self, params: Params, arrays: Arrays) -> np.ndarray:
        """Returns how far the likeliest last place of car 0 moves without each car [n, C]."""
        count = arrays["present"].shape[1]
        whole = self._last(params, arrays)
        moved = np.zeros(arrays["present"].shape)
        for car in range(1, count):
            present = arrays["present"] & (np.arange(count) != car)
            moved[:, car] = np.linalg.norm(self._last(params, arrays | {"present": present}) - whole, axis=-1)
        return moved

    def _last(self, params: Params, arrays: Arrays) -> np.ndarray:
        places, logits = self._futures(params, arrays)
        mode = logits[:, 0].argmax(-1)
        return places[np.arange(len(places)), 0, mode, -1]

    def _pointing(self, params: Params) -> dict[str, dict[str, float]]:
        """Returns rows of what finds the minded car, in scenes in which it matters."""
        chosen = np.flatnonzero(self._test["matters"])[:EXPLAINED]
        if not len(chosen):
            return {}
        arrays = {name: array[chosen] for name, array in self._test.items()}
        moved, present, minded = self._moved(params, arrays), arrays["present"], arrays["minded"]
        near = -np.linalg.norm(arrays["seen"][:, :, 2 * self._data.past - 2 : 2 * self._data.past], axis=-1)
        scores: dict[str, Any] = {"car that moves it most": moved, "nearest car": near}
        if self._has_weights:
            for layer, own in enumerate(self._weights(params, arrays)):
                scores[f"attention of layer {layer}"] = own
        rows = {name: pointing_score(own, minded, present, moved) for name, own in scores.items()}
        return rows | {"random order": dict(random_pointing(present, moved))}

    def _picture(self, params: Params, folder: Path) -> Path:
        from attnjax.tasks.driving.picture import scenes_figure
        from attnjax.tasks.pictures import save

        arrays, scenes = self._tested
        known = scenes.kinds >= 0
        kinds = [
            np.flatnonzero((scenes.kinds == kind) & (scenes.matters | ~known))
            for kind in sorted(set(scenes.kinds.tolist()))
        ]
        chosen = np.array([own[0] for own in kinds if len(own)][:3])
        own = {name: array[chosen] for name, array in arrays.items()}
        places, _ = self._futures(params, own)
        weights = self._weights(params, own)[0]
        titles = ["scene" if kind < 0 else KINDS[kind] for kind in scenes.kinds[chosen]]
        save(scenes_figure(own, places[:, 0], weights, titles, self._data.past), folder / PICTURE)
        return folder / PICTURE


def _chosen(arrays: Arrays, group: str) -> np.ndarray:
    """Returns the cars of a group [n, C]."""
    moving = arrays["speed"] > MOVES_MPS
    if group.startswith("car 0"):
        chosen = np.zeros_like(moving)
        chosen[:, 0] = arrays["matters"]
        return chosen
    return arrays["present"] & (moving if group == "moving" else ~moving)


def _futures(model: AgentModel, arrays: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    given = model(arrays["seen"], present=arrays["present"])
    return arrays["base"][:, :, None] + given.places, given.logits


def _weights(model: AgentModel, arrays: Mapping[str, jax.Array]) -> jax.Array:
    found = model(arrays["seen"], present=arrays["present"], capture=Capture()).weights
    layers = [found[f"blocks.{i}.attention"][:, :, 0].mean(1) for i in range(model.config.layers)]
    return jnp.stack(layers, axis=1)
