"""From the options of `attnjax sweep` to the trials of a sweep. Free of jax."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attnjax.config import InputError, require
from attnjax.experiment import overrides, registry
from attnjax.experiment.changes import Changes, with_changes
from attnjax.runs.start import absolute_paths
from attnjax.sweeps import trials
from attnjax.sweeps.registry import NamedSweep, find_sweep, known_sweeps, require_metric
from attnjax.sweeps.space import Categorical, Range, parse_axes, parse_space
from attnjax.sweeps.spec import Search, SweepSpec

OPTIONS_OF_AN_EXPERIMENT = (
    "grid",
    "zip",
    "random",
    "space",
    "search",
    "trials",
    "prune",
    "seeds",
    "metric",
    "mode",
)
"""Options that a named sweep refuses, because its own declaration says what it varies."""


@dataclass(frozen=True)
class SweepRequest:
    """The options of `attnjax sweep` that decide what is computed; each field is named after its option.

    Attributes:
      target: the name of a sweep or of an experiment.
      overrides: changes of the base config, as on the command line of `attnjax run`.
      grid, zip, space: axes such as `model.heads=2,4,8`.
      random, trials, seeds: counts.
      search: the name of a sampler.
      prune: the name of a pruner.
      metric: ROW/COLUMN of the evaluation table; None stands for the task's monitor.
      mode: the better end of the metric, "max" or "min"; None stands for the monitor's.
      name: the name of the sweep's folder; None stands for the target's.
      skip_invalid: leave out combinations that the config refuses.
    """

    target: str
    overrides: Sequence[str] = ()
    grid: Sequence[str] | None = None
    zip: Sequence[str] | None = None
    random: int | None = None
    space: Sequence[str] | None = None
    search: str | None = None
    trials: int | None = None
    prune: str | None = None
    seeds: int | None = None
    metric: str | None = None
    mode: str | None = None
    name: str | None = None
    skip_invalid: bool = False


def requested_sweep(request: SweepRequest, problems: Iterable[str] = ()) -> tuple[SweepSpec, list[str]]:
    """Returns the sweep that a request describes, and a line for each combination that it leaves out.

    Args:
      request: the options.
      problems: experiment files that could not be loaded, one line each; they are part of the error if the
        target is not known.

    Raises:
      InputError: the target is not known, options contradict each other, or the config refuses a combination.
    """
    if request.target in {named.name for named in known_sweeps()}:
        return _named_sweep(find_sweep(request.target), request)
    known = [definition.name for definition in (*registry.known(), *known_sweeps())]
    if request.target not in known:
        hint = registry.nearest(request.target, known) or f"; known: {', '.join(known) or 'none'}"
        broken = "".join(f"; not loaded: {problem}" for problem in problems)
        raise InputError(f"unknown sweep or experiment {request.target!r}{hint}{broken}")
    experiment = registry.find(request.target)
    require_metric("--metric", request.metric)
    config = absolute_paths(_overridden(registry.default_config(experiment), request))
    search = _search(config, request)
    made: list[trials.Trial] = []
    refused: list[str] = []
    if search is None:
        made, refused = trials.make_trials(
            config, _changes(config, request), skip_invalid=request.skip_invalid
        )
    name = request.name or experiment.name
    require("/" not in name and not name.startswith("."), f"--name is {name!r}: expected a folder's name")
    summary = f"{experiment.name}: {experiment.summary}"
    return SweepSpec(name, experiment, config, made, request.metric, request.mode, summary, search), refused


def _named_sweep(named: NamedSweep, request: SweepRequest) -> tuple[SweepSpec, list[str]]:
    for option in OPTIONS_OF_AN_EXPERIMENT:
        require(
            getattr(request, option) is None,
            f"--{option} is for an experiment: the sweep {named.name} says itself what it varies",
        )
    config = with_changes(registry.default_config(named.experiment), named.base)
    config = absolute_paths(_overridden(config, request))
    made, refused = trials.make_trials(config, named.changes(), skip_invalid=request.skip_invalid)
    name = request.name or named.name
    return SweepSpec(name, named.experiment, config, made, named.metric, named.mode, named.summary), refused


def _overridden(config: Any, request: SweepRequest) -> Any:
    if not request.overrides:
        return config
    return overrides.apply(config, request.overrides, program=f"attnjax sweep {request.target}")


def _search(config: Any, request: SweepRequest) -> Search | None:
    if request.search is None:
        for option in ("trials", "prune"):
            require(getattr(request, option) is None, f"--{option} is for --search")
        return None
    for option in ("grid", "zip", "random", "seeds"):
        require(getattr(request, option) is None, f"--search and --{option}: expected one of them")
    if not request.trials:
        raise InputError("--search: say how many trials with --trials N")
    if not request.space:
        raise InputError("--search: say what to draw from with --space FIELD=LOW..HIGH")
    space = {name: _as_json(config, name, d) for name, d in parse_space(config, request.space).items()}
    return Search(request.search, request.trials, space, request.prune, config.seed)


def _as_json(config: Any, name: str, domain: Categorical | Range) -> Categorical | Range:
    """Returns a domain whose values are in JSON form, as the record of a search holds them."""
    if isinstance(domain, Range):
        return domain
    return Categorical(tuple(trials.encoded_changes(config, {name: v})[name] for v in domain.values))


def _changes(config: Any, request: SweepRequest) -> list[Changes]:
    ways = [option for option in ("grid", "zip", "random") if getattr(request, option)]
    require(len(ways) < 2, f"--{' and --'.join(ways)}: expected one of them")
    require(not request.space or bool(request.random), "--space: say how many to draw with --random N")
    if request.grid:
        changes = trials.grid(parse_axes(config, request.grid))
    elif request.zip:
        changes = trials.zipped(parse_axes(config, request.zip, flag="--zip"))
    elif request.random:
        require(bool(request.space), "--random: say what to draw from with --space FIELD=LOW..HIGH")
        changes = trials.sampled(parse_space(config, request.space or ()), request.random, config.seed)
    else:
        require(bool(request.seeds), "what to vary? --grid, --zip, --random or --seeds")
        changes = [{}]
    if request.seeds:
        changes = trials.with_seeds(changes, request.seeds, config.seed)
    return changes
