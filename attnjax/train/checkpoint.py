"""Checkpoints of a run: saved in the background, proved on restore. The only file that touches Orbax."""

import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from attnjax.config import InputError
from attnjax.nn.layer_names import layers_in, names_of_layers, stacked_as
from attnjax.train.abandoned_reads import silence_abandoned_reads
from attnjax.train.distributed import hosts
from attnjax.train.hashing import params_hash

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints in one folder: the latest `keep` and the best by score.

    Each holds the SHA-256 of its state, taken before it was written. A checkpoint that cannot be read, or
    whose arrays do not have that hash, is treated as absent. Orbax writes into a temporary folder and renames
    it, so a save that was cut off leaves no checkpoint.

    With `read_only` nothing in the folder is cleared away, not even what an unfinished save left.

    On several hosts all make the same calls in the same order, and save together, each its part of what is
    split over them; the folder lies where all of them see it. A save then ends before `save` returns.

    Use it as a context manager: leaving it waits for the save under way and raises that save's error.
    """

    _saves: ClassVar = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
    """Saves of this process, whatever their folder, take turns. Orbax tells them apart by a counter that all
    folders share: two at a time may wait for each other's signals for ever."""

    def __init__(
        self, folder: Path, *, keep: int, mode: Literal["max", "min"], read_only: bool = False
    ) -> None:
        self._folder = folder.absolute()
        self._read_only = read_only
        self._sign = 1.0 if mode == "max" else -1.0
        self._keep = keep
        self._scores: dict[int, float] = {}
        self._pending: Future[None] | None = None
        for step in self.steps:
            score = self._metadata(step).get("score")
            if score is not None:
                self._scores[step] = score

    @cached_property
    def _manager(self) -> Any:
        """Orbax's checkpointer of the folder.

        It is imported for a folder that is there, else for the first save, when the device works: the first
        step of a new run comes that much sooner.
        """
        from orbax.checkpoint import v1 as ocp

        # Orbax logs every save, and each damaged file as often as it reads it: here one warning says so.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        silence_abandoned_reads()
        return ocp.training.Checkpointer(
            self._folder,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=_Preserve(self),
            cleanup_tmp_directories=not self._read_only,
        )

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending; damaged ones are among them until `restore`."""
        # Hosts are not asked whether they see it yet: all of them need Orbax to be there.
        if hosts().count == 1 and not self._folder.exists():
            return []
        return [checkpoint.step for checkpoint in self._manager.checkpoints]

    @property
    def best(self) -> tuple[int, float] | None:
        """The step and score of the best checkpoint on disk, the earliest of equals; None without one."""
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[tuple[int, float]]:
        """The steps and scores of the checkpoints on disk, the best first, the earlier of equals.

        A score that is NaN is none: no comparison with it is ever true.
        """
        scores = {step: self._scores.get(step, math.nan) for step in self.steps}
        known = [(step, score) for step, score in scores.items() if not math.isnan(score)]
        return sorted(known, key=lambda pair: (-self._sign * pair[1], pair[0]))

    def save(
        self, step: int, state: Any, score: float | None = None, *, first: Callable[[], None] | None = None
    ) -> None:
        """Starts saving; waits for this folder's save before it, and raises as `wait` does.

        `state` must not be donated afterwards: pass a copy. `first` is called, in the background too, before
        anything is written: it puts on the disk what a checkpoint counts on.
        """
        self.wait()
        if score is not None:
            self._scores[step] = score
        self._pending = self._saves.submit(self._write, step, state, score, first)
        if hosts().count > 1:
            # What devices of several hosts do together, they begin in one order: nothing beside a save.
            self.wait()

    def _write(self, step: int, state: Any, score: float | None, first: Callable[[], None] | None) -> None:
        if first:
            first()
        flat = _flatten(state)
        metadata = {"sha256": params_hash(flat), "score": score}
        self._manager.save(step, flat, force=True, custom_metadata=metadata)

    def wait(self) -> None:
        """Waits for the save under way. Raises InputError, with its reason, for one that failed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except Exception as error:  # Orbax and TensorStore raise many kinds for a full disk
            reason = str(error).partition("\n")[0]
            raise InputError(f"cannot save a checkpoint in {self._folder}: {reason}") from error

    def require_alike(self, like: Any) -> None:
        """Raises InputError, on all hosts, where the newest readable checkpoint is of another model.

        That is no damage, for which `restore` would remove it.

        Args:
          like: as in `newest`.
        """
        known = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in _flatten(like).items()}
        found = hosts().of_main(lambda: self._newest_arrays())
        if found is None:
            return
        step, saved = found
        for name in (*known, *saved):
            there, here = saved.get(name, "nothing"), known.get(name, "nothing")
            if there != here:
                hosts().refuse(
                    f"checkpoint {self._folder / str(step)} is of another model: {name} is {there} there and "
                    f"{here} here; move it away, or start again with --fresh"
                )

    def newest(self, like: Any) -> tuple[int, Any] | None:
        """The newest sound checkpoint as (step, state), or None without one.

        `like` gives structure, shapes, dtypes and shardings (arrays or ShapeDtypeStructs). A warning names
        each damaged checkpoint that is passed over.
        """
        for step in reversed(self.steps):
            try:
                return step, self.load(step, like)
            except CheckpointDamaged as error:
                logger.warning("%s: falling back to the checkpoint before it", error)
        return None

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """As `newest`, to go on from there: damaged checkpoints after it are removed, to be saved again."""
        found = self.newest(like)
        damaged = [step for step in self.steps if found is None or step > found[0]]
        for step in damaged:
            if hosts().is_main:
                shutil.rmtree(self._folder / str(step))
            self._scores.pop(step, None)
        if damaged:
            hosts().exchange("removed")
            self._manager.reload()
        return found

    def load(self, step: int, like: Any) -> Any:
        """The state saved at `step`. Raises CheckpointDamaged when it is not what was saved."""
        expected = self._metadata(step).get("sha256")
        self._require_sound(step, expected is not None, "its metadata cannot be read")
        shapes = jax.tree.map(_abstract, _flatten(like))
        flat, single = self._arrays(step, shapes), _of_single_layers(shapes)
        if hosts().any(flat is None) and single.keys() != shapes.keys():
            flat = self._arrays(step, single)  # Saved before layers were stacked in the state.
        self._require_sound(step, flat is not None, "its arrays cannot be read")
        assert flat is not None
        self._require_sound(step, params_hash(flat) == expected, "its arrays are not those that were saved")
        if flat.keys() != shapes.keys():
            flat = stacked_as(shapes, flat, jnp.stack)
            flat = {name: jax.device_put(array, shapes[name].sharding) for name, array in flat.items()}
        return jax.tree.unflatten(jax.tree.structure(like), [flat[name] for name in _flatten(like)])

    def _require_sound(self, step: int, sound: bool, otherwise: str) -> None:
        """Raises CheckpointDamaged on all hosts where one of them finds a checkpoint damaged."""
        if hosts().any(not sound):
            raise CheckpointDamaged(f"checkpoint {self._folder / str(step)} is damaged: {otherwise}")

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        failed = kind is not None
        try:
            self.wait()
        except InputError:
            failed = True
            raise
        finally:
            # Orbax raises the error of a save that failed a second time.
            with suppress(Exception) if failed else nullcontext():
                if "_manager" in vars(self):
                    self._manager.close()

    def _arrays(self, step: int, like: dict[str, Any]) -> dict[str, Any] | None:
        """The arrays saved at `step`, None where a file is damaged."""
        try:
            return self._manager.load(step, like)
        except Exception:  # Orbax and TensorStore raise many kinds for a damaged file
            return None

    def _newest_arrays(self) -> tuple[int, dict[str, str]] | None:
        """The newest step of which it can be read which arrays it has, and dtype and shape of each."""
        for step in reversed(self.steps):
            with suppress(Exception):  # As below.
                arrays = self._manager.metadata(step).metadata
                return step, {name: f"{x.dtype}{list(x.shape)}" for name, x in arrays.items()}
        return None

    def _metadata(self, step: int) -> dict[str, Any]:
        try:
            return self._manager.metadata(step).custom_metadata or {}
        except Exception:  # whatever a damaged file makes Orbax raise, the answer is that nothing is known
            return {}


class CheckpointDamaged(InputError):
    """A checkpoint that cannot be read, or whose arrays are not those that were saved."""


class _Preserve:
    """Orbax's preservation policy: the latest ones and the best.

    Orbax's own BestN needs a metrics file per checkpoint, and refuses to open the folder when one is damaged.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._owner = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        latest = {checkpoint.step for checkpoint in checkpoints[-self._owner._keep :]}
        best = self._owner.best
        return [c.step in latest or (best is not None and c.step == best[0]) for c in checkpoints]


def _flatten(tree: Any) -> dict[str, Any]:
    """Leaves by path: what is on disk does not depend on the container types of Flax and Optax."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _of_single_layers(shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes of the same arrays where each layer has its own, whole on each device."""

    def single(shape: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        whole = shape.sharding
        if isinstance(whole, NamedSharding):
            whole = NamedSharding(whole.mesh, PartitionSpec())
        return jax.ShapeDtypeStruct(shape.shape[1:], shape.dtype, sharding=whole)

    return {
        own: shape if layers_in(name) is None else single(shape)
        for name, shape in shapes.items()
        for own in names_of_layers(name)
    }


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
