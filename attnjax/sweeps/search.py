"""Adaptive search by Optuna's ask and tell. The only file that touches Optuna.

A study lives for one question: it is built anew from the trials on disk each time, so that there is no
state which could differ from them. Each trial is asked for by a sampler that is seeded by its number: a
search that was killed asks for the same ones again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attnjax.sweeps.space import Categorical, Changes, Range
from attnjax.sweeps.store import TrialRecord

SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "halving", "hyperband")
Domain = Categorical | Range


@dataclass(frozen=True)
class Search:
    """What is searched for: `trials` draws from `space`, better and better at the metric.

    `sampler`: "tpe" (Bergstra et al., 2011) or "random"; `pruner`: None, "median", "halving"
    (Li et al., 2020) or "hyperband" (Li et al., 2018), which stop trials by their validations.
    """

    sampler: str
    trials: int
    space: Mapping[str, Domain]
    pruner: str | None = None
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """As JSON holds it, with the values of the space as it holds those."""
        space = {name: asdict(domain) for name, domain in self.space.items()}
        return json.loads(json.dumps({**asdict(self), "space": space}))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Search":
        space: dict[str, Domain] = {
            name: Categorical(tuple(domain["values"])) if "values" in domain else Range(**domain)
            for name, domain in record["space"].items()
        }
        return cls(**{**record, "space": space})


class OptunaSearch:
    """Asks Optuna about one search; `mode` is "max" or "min"."""

    def __init__(self, search: Search, mode: str) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._optuna, self._search, self._mode = optuna, search, mode
        self._distributions = {name: self._distribution(domain) for name, domain in search.space.items()}

    def ask(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        running: Mapping[int, Changes],
        number: int,
    ) -> Changes:
        """The changes of the trial of this number, by others and the metrics of those that are done."""
        study = self._study(number)
        for trial in _by_number(ended):
            study.add_trial(self._told(trial, values.get(trial.number)))
        for _, changes in sorted(running.items()):
            self._asked(study, changes)
        return dict(study.ask(self._distributions).params)

    def pruned(
        self,
        ended: Sequence[TrialRecord],
        values: Mapping[int, float],
        curves: Mapping[int, Mapping[int, float]],
        running: Mapping[int, Changes],
        validated: Mapping[int, int],
    ) -> set[int]:
        """Which of the trials that were just validated, at these steps, shall go no further.

        `curves`: for each trial its validations so far, by step. All of them are reported anew, in an order
        that depends on the trials alone: first those of trials that have ended, then by step. So the answer
        is the same at each start.
        """
        if self._search.pruner is None:
            return set()
        study, going_on, before = self._study(len(ended)), dict[int, Any](), {t.number: t for t in ended}
        for number in sorted([*before, *running]):
            if number in running:
                going_on[number] = self._asked(study, running[number])
            else:
                self._replay(study, before[number], values.get(number), curves[number])
        stopped = set()
        for step in sorted({step for number in running for step in curves[number]}):
            for number, trial in going_on.items():
                if step in curves[number]:
                    trial.report(curves[number][step], step)
                    if trial.should_prune() and validated.get(number) == step:
                        stopped.add(number)
        return stopped

    def _study(self, seed: int) -> Any:
        optuna, seed = self._optuna, self._search.seed + seed
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
        return optuna.create_study(
            study_name="search",
            direction="maximize" if self._mode == "max" else "minimize",
            sampler=samplers[self._search.sampler](),
            pruner=pruners[self._search.pruner](),
        )

    def _asked(self, study: Any, changes: Changes) -> Any:
        study.enqueue_trial(changes)
        return study.ask(self._distributions)

    def _replay(
        self, study: Any, record: TrialRecord, value: float | None, curve: Mapping[int, float]
    ) -> None:
        """Adds a trial that has ended. Halving has to see it again: it notes how far each trial came."""
        if not curve or self._search.pruner == "median":
            study.add_trial(self._told(record, value, curve))
            return
        trial = self._asked(study, {name: record.changes[name] for name in self._distributions})
        for step, value_then in sorted(curve.items()):
            trial.report(value_then, step)
            trial.should_prune()
        state, told = self._state(record, value)
        study.tell(trial, told, state=state)

    def _told(
        self, record: TrialRecord, value: float | None, curve: Mapping[int, float] | None = None
    ) -> Any:
        state, told = self._state(record, value)
        return self._optuna.trial.create_trial(
            state=state,
            value=told,
            params={name: record.changes[name] for name in self._distributions},
            distributions=self._distributions,
            intermediate_values=dict(curve or {}),
        )

    def _state(self, record: TrialRecord, value: float | None) -> tuple[Any, float | None]:
        """How a trial ended, in Optuna's words; of those that FAIL its samplers learn nothing."""
        states = self._optuna.trial.TrialState
        if record.status == "done" and value is not None:
            return states.COMPLETE, value
        return states.PRUNED, None

    def _distribution(self, domain: Domain) -> Any:
        kinds = self._optuna.distributions
        if isinstance(domain, Categorical):
            return kinds.CategoricalDistribution(domain.values)
        if domain.integer:
            return kinds.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)


def _by_number(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return sorted(records, key=lambda record: record.number)
