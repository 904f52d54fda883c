"""Adaptive search by Optuna's ask and tell. The only file that touches Optuna.

A study lives for one question: it is built anew from the trials on disk each time, so that there is no state
which could differ from them. Trials are asked for a generation at a time, as many as a pack holds, by a
sampler that is seeded by how many there are already: a search that was killed asks for the same ones again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attnjax.experiment.space import Changes, Choice, Range
from attnjax.experiment.sweep_store import TrialRecord

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "halving", "hyperband")
Domain = Choice | Range


@dataclass(frozen=True)
class Search:
    """What is searched for: `trials` draws from `space`, better and better at the measure.

    `sampler`: "tpe" (Bergstra et al., 2011) or "random"; `pruner`: None, "median", "halving"
    (Li et al., 2020) or "hyperband" (Li et al., 2018), which stop trials by their validations.
    """

    sampler: str
    trials: int
    space: Mapping[str, Domain]
    pruner: str | None = None
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        space = {name: asdict(domain) for name, domain in self.space.items()}
        return json.loads(json.dumps({**asdict(self), "space": space}))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Search":
        space: dict[str, Domain] = {
            name: Choice(tuple(domain["values"])) if "values" in domain else Range(**domain)
            for name, domain in record["space"].items()
        }
        return cls(**{**record, "space": space})


class Asker:
    """Asks Optuna about one search; `mode` is "max" or "min", `width` the size of a generation."""

    def __init__(self, search: Search, mode: str, width: int) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._optuna, self._search, self._mode, self._width = optuna, search, mode, width
        self._distributions = {name: self._distribution(domain) for name, domain in search.space.items()}

    def generation(self, ended: Sequence[TrialRecord], values: Mapping[int, float]) -> list[Changes]:
        """The changes of the next generation, given all trials before it and the measure of the done ones."""
        study = self._study(ended, values, {})
        count = min(self._width, self._search.trials - len(ended))
        return [dict(study.ask(self._distributions).params) for _ in range(count)]

    def pruned(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        curves: Mapping[int, Mapping[int, float]],
        running: Mapping[int, Changes],
        step: int,
    ) -> set[int]:
        """Which of the running trials shall stop at `step`.

        `ended`: the trials before this pack. `curves`: for each trial its validations by step. What was
        reported before is reported again in the same order, so the answer is the same at each start.
        """
        if self._search.pruner is None:
            return set()
        study, asked = self._study(ended, values, curves), {}
        for number, changes in sorted(running.items()):
            study.enqueue_trial(changes)
            asked[number] = study.ask(self._distributions)
        decided: set[int] = set()
        for at in sorted({s for number in running for s in curves[number] if s <= step}):
            decided = set()
            for number, trial in asked.items():
                if at in curves[number]:
                    trial.report(curves[number][at], at)
                    if trial.should_prune():
                        decided.add(number)
        return decided

    def _study(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        curves: Mapping[int, Mapping[int, float]],
    ) -> Any:
        optuna, seed = self._optuna, self._search.seed + len(ended)
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        pruners = {
            None: optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "halving": optuna.pruners.SuccessiveHalvingPruner,
            "hyperband": optuna.pruners.HyperbandPruner,
        }
        study = optuna.create_study(
            study_name="search",
            direction="maximize" if self._mode == "max" else "minimize",
            sampler=samplers[self._search.sampler](),
            pruner=pruners[self._search.pruner](),
        )
        for trial in sorted(ended, key=lambda record: record.number):
            study.add_trial(self._told(trial, values.get(trial.number), curves.get(trial.number, {})))
        return study

    def _told(self, trial: TrialRecord, value: float | None, curve: Mapping[int, float]) -> Any:
        states = self._optuna.trial.TrialState
        state = {"done": states.COMPLETE, "pruned": states.PRUNED}.get(trial.status, states.FAIL)
        if state is states.COMPLETE and value is None:
            state = states.FAIL
        return self._optuna.trial.create_trial(
            state=state,
            value=value if state is states.COMPLETE else None,
            params={name: trial.changes[name] for name in self._distributions},
            distributions=self._distributions,
            intermediate_values=dict(curve),
        )

    def _distribution(self, domain: Domain) -> Any:
        kinds = self._optuna.distributions
        if isinstance(domain, Choice):
            return kinds.CategoricalDistribution(domain.values)
        if domain.integer:
            return kinds.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)
