"""Recommendation by a model that reads histories."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from attnjax.config import InputError
from attnjax.data.interactions.config import InteractionData
from attnjax.data.interactions.files import read_titles
from attnjax.data.interactions.parts import Asked, cut
from attnjax.data.interactions.planted import PlantedLog
from attnjax.data.interactions.prepare import read_log
from attnjax.data.synthetic.questions import Split, stream
from attnjax.models.recommender import Recommender
from attnjax.models.recommender_config import RecommenderConfig
from attnjax.nn.dropout import Dropout
from attnjax.ops.items import RankedItems, binary_loss, item_cross_entropy, rank_items, sampled_softmax_loss
from attnjax.tasks.base import Arrays, Evaluation, Hyperparameters, LossAndMetrics, Params
from attnjax.tasks.metrics.ranking import K, TargetPlaces, ranking_metrics
from attnjax.tasks.model_task import ModelTask, require_positions
from attnjax.tasks.recommendation.answers import (
    Answered,
    RankingQuestion,
    answered,
    attention_of_last,
    cosines,
    last_states,
    read_question,
)
from attnjax.tasks.recommendation.baselines import MOST_PAIRS, baseline_places, baselines, pairs_of
from attnjax.tasks.recommendation.config import ItemLossConfig, RankingConfig
from attnjax.tasks.recommendation.examples import NONE, Examples


class RecommendationTask(ModelTask[Recommender]):
    """Trains a `Recommender` to tell the next item of each history, and ranks it among all items.

    Args:
      data: the log and its parts.
      config: the model's shape.
      loss: the loss's settings.
      batch_size: of all hosts together.

    Attributes:
      log: the events of all users.
      report: what the log had, and what was left out.
      titles: of items by name; empty where there is no file of them.
      parts: what is trained on, and what is asked for.

    Raises:
      InputError: the log or the titles are not good, or histories are longer than the model's learned
        positions.
    """

    table_name: ClassVar[str] = "embedding.tokens.embedding"
    """The name of the parameter with the embeddings of the items."""
    rows: ClassVar[int] = 256
    """Users that are ranked together."""
    last_target_alone: ClassVar[bool] = False
    """True if the loss is of the last event of a window alone."""

    def __init__(
        self,
        data: InteractionData,
        config: RecommenderConfig,
        *,
        loss: ItemLossConfig = ItemLossConfig(),  # noqa: B008, it is frozen
        batch_size: int,
    ) -> None:
        self.data, self.config, self._loss = data, config, loss
        self.log, self.report = read_log(data)
        self.titles = {} if data.titles is None else read_titles(data.titles)
        self.parts = cut(self.log, data)
        self.examples = Examples(
            self.parts,
            data,
            loss,
            causal=self._causal(),
            batch_size=batch_size,
            last_target_alone=self.last_target_alone,
        )
        self.search = RankingConfig(exclude_seen=data.exclude_seen)

    def _causal(self) -> bool:
        """Returns whether each event sees those before it alone, and checks that the model can."""
        require_positions(self.config, self.data.length, "histories")
        return self.config.causal

    @property
    def notes(self) -> list[str]:
        """Lines on the log, for a user to read before training."""
        counts = self.parts.counts()
        cold = int((counts[self.log.items[self.parts.test.at]] == 0).sum())
        found = self.report.lines()
        found.append(
            f"{len(self.parts.ends)} users are trained on, {len(self.parts.validation.users)} asked in "
            f"validation, {len(self.parts.test.users)} in the test"
        )
        if cold:
            found.append(f"{cold} items of the test are in no event of training: no model can tell them")
        if self.parts.cold_users:
            found.append(f"{self.parts.cold_users} users have no event before the test, and are not asked")
        if (pairs := pairs_of(self.parts)) > MOST_PAIRS:
            found.append(f"item-kNN is left out: {pairs} pairs of events of one user, above {MOST_PAIRS}")
        return found

    @property
    def monitor(self) -> tuple[str, Literal["max", "min"]]:
        """NDCG@10 of the validation."""
        return "ndcg", "max"

    def build(self, rngs: nnx.Rngs) -> Recommender:
        """Returns a model of the log's items."""
        return Recommender(self.config, items=self.log.catalogue, rngs=rngs)

    def batch(self, step: int) -> Arrays:
        """Returns this host's windows of histories."""
        return self.examples.batch(step)

    def loss_of(
        self,
        model: Recommender,
        batch: Mapping[str, jax.Array],
        *,
        dropout: Dropout | None,
        hyper: Hyperparameters,
    ) -> LossAndMetrics:
        """Returns the mean loss of the targets."""
        calibration = hyper.get("calibration", self._loss.calibration)
        states = model(batch["items"], lengths=batch["lengths"], times=batch["times"], dropout=dropout).states
        targets = batch["targets"]
        counted = (targets >= 0).astype(jnp.float32)
        known = jnp.maximum(targets, 0)
        if self._loss.kind == "full":
            flat = states.reshape(-1, states.shape[-1])
            losses = item_cross_entropy(
                flat, model.table, known.reshape(-1), items=model.items, chunk=self._loss.chunk
            ).reshape(targets.shape)
        else:
            table, drawn = model.table, batch["negatives"]
            own = jnp.vecdot(states, table[known])
            others = jnp.einsum("btd,bkd->btk", states, table[drawn])
            hits = known[..., None] == drawn[:, None]
            if self._loss.kind == "sampled":
                losses = sampled_softmax_loss(own, others, hits, items=model.items)
            else:
                t = calibration if self._loss.kind == "gbce" else 0.0
                losses = binary_loss(own, others, hits, items=model.items, calibration=t)
        weight = counted.sum()
        loss = (losses * counted).sum() / jnp.maximum(weight, 1)
        return loss, {"loss": loss, "weight": weight}

    @property
    def reads_rows(self) -> bool:
        """True if a step updates the embeddings that it reads alone."""
        return self._loss.rows_alone

    def touched(
        self, batch: Mapping[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], dict[str, Int[Array, " R"]]]:
        """Returns the batch with places among the items that it has, and these items."""
        names = ("items", "targets", "negatives")
        every = jnp.concatenate([batch[name].reshape(-1) for name in names])
        last = self.log.catalogue + 1  # Past the mask.
        known = jnp.where(every < 0, last, every)
        rows = jnp.unique(known, size=min(known.size, last), fill_value=last)
        moved = {name: jnp.searchsorted(rows, batch[name]).astype(jnp.int32) for name in names}
        moved["targets"] = jnp.where(batch["targets"] < 0, NONE, moved["targets"])
        return {**batch, **moved}, {self.table_name: rows}

    def validate(self, params: Params) -> dict[str, float]:
        """Returns HR@10, NDCG@10 and MRR of each user's event of the validation, among all items."""
        found = self._places(params, self.validation, listed=False)
        metrics = ranking_metrics(found, self.log.catalogue)
        return {"hr": metrics["HR@10"], "ndcg": metrics["NDCG@10"], "mrr": metrics["MRR"]}

    def evaluate(self, params: Params, folder: Path) -> Evaluation:
        """Returns the metrics of the test for the model and for what needs none, and a picture of them."""
        asked, items = self._asked(self.parts.test), self.log.catalogue
        arrays = self.examples.asked(asked, Split.TEST)
        found = {"model": self._places(params, arrays, listed=True)}
        planted = None if self.data.log is not None else PlantedLog(self.data.planted, self.data.seed)
        for name, scores in baselines(self.parts, planted).items():
            found[name] = baseline_places(
                scores, self.parts, asked, arrays["target"], exclude_seen=self.data.exclude_seen
            )
        metrics = {
            name: {**ranking_metrics(places, items), "users": len(asked.users)}
            for name, places in found.items()
        }
        shown = [RankingQuestion(user=self.log.user_names[user]) for user in asked.users[:2]]
        samples = [
            {"row": f"user {question.user}", "answers": "; ".join(one.title for one in answer.items)}
            for question, answer in zip(shown, self.predict(params, shown), strict=True)
        ]
        from attnjax.tasks.recommendation.picture import draw  # Training has no use for matplotlib.

        return Evaluation(metrics, samples, [draw(metrics, folder)])

    @cached_property
    def validation(self) -> Arrays:
        """The histories before the events of the validation."""
        return self.examples.asked(self._asked(self.parts.validation), Split.VALIDATION)

    def read_input(self, text: str) -> RankingQuestion:
        """Returns what a line asks: a user, "items: A, B" (a history) or "similar: A".

        Raises:
          InputError: an item that the log has not.
        """
        return read_question(self, text)

    def predict(self, params: Params, inputs: Sequence[RankingQuestion]) -> Sequence[Answered]:
        """Returns the best items for each question, and the past items that they came from."""
        return answered(self, params, inputs)

    def joined(self, params: Params, others: Sequence[tuple[str, Any, Params]]) -> Params:
        """Refuses: recommenders make no ensemble."""
        raise InputError(f"{others[0][0]}: recommenders make no ensemble")

    def all_scores(self, model: Recommender, arrays: Mapping[str, jax.Array]) -> Float[Array, "B I"]:
        """Returns the scores of all items after histories."""
        return last_states(model, arrays) @ model.table[: model.items].T

    def similar(self, model: Recommender, arrays: Mapping[str, jax.Array]) -> Float[Array, "B I"]:
        """Returns the cosines of the embedding of "item" with those of all items."""
        return cosines(model.table[: model.items], arrays["item"])

    def attention(self, model: Recommender, arrays: Mapping[str, jax.Array]) -> Float[Array, "B T"]:
        """Returns the weights of the last event in the last layer, the mean over heads; [B, 0] for none."""
        return attention_of_last(model, arrays)

    def rank(self, model: Recommender, arrays: Mapping[str, jax.Array]) -> RankedItems:
        """Returns the places of "target" among all items."""
        return self._ranked(model, arrays, 0)

    def rank_and_list(self, model: Recommender, arrays: Mapping[str, jax.Array]) -> RankedItems:
        """Returns the places of "target" among all items, and the lists that are shown."""
        return self._ranked(model, arrays, min(K, model.items))

    def _ranked(self, model: Recommender, arrays: Mapping[str, jax.Array], k: int) -> RankedItems:
        last = last_states(model, arrays)
        targets, seen = arrays["target"], arrays.get("seen")
        return rank_items(last, model.table, k=k, targets=targets, excluded=seen, items=model.items)

    def _places(self, params: Params, arrays: Arrays, *, listed: bool) -> TargetPlaces:
        names = ("items", "lengths", "times", "target", "seen")
        given = {name: arrays[name] for name in names if name in arrays}
        rows = min(self.rows, len(given["items"]))
        found = self.infer(self.rank_and_list if listed else self.rank, params, given, rows=rows)
        others = np.full(len(found.above), self.log.catalogue - 1)
        if "seen" in arrays:
            others -= (arrays["seen"] >= 0).sum(1)
        return TargetPlaces(found.above, found.tied, found.items, others)

    def _asked(self, asked: Asked) -> Asked:
        """Returns the events of the users that are evaluated: all, or some that are drawn once."""
        most = self.data.evaluation_users
        if most is None or most >= len(asked.users):
            return asked
        chosen = stream(self.data.seed, Split.TEST).choice(len(asked.users), most, replace=False)
        return Asked(asked.users[np.sort(chosen)], asked.at[np.sort(chosen)])
