"""Many trials trained together: they share one compiled program, the data and the checkpoints.

A lane of a pack goes to the next trial as soon as its own has ended: at the last step, pruned or failed.
Lanes therefore stand at different steps of their trials. Each has the batches of its own step, and no bit of
a trial depends on when or where it began. The width of a pack never changes, so nothing is compiled again.
"""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from attnjax.train.checkpoint import Checkpoints
from attnjax.train.packs.lanes import PackLanes
from attnjax.train.packs.program import PackProgram, PackTrial
from attnjax.train.packs.round import Ended, Prune, Round
from attnjax.train.signals import interrupt_on_signals


def fit_pack(
    program: PackProgram,
    trials: Iterable[PackTrial],
    *,
    folder: Path,
    ended: Collection[int] = (),
    on_begin: Callable[[PackTrial], None] = lambda trial: None,
    on_end: Callable[[Ended], None],
    on_step: Callable[[int, int], None] = lambda clock, steps: None,
    prune: Prune | None = None,
    in_step: bool = False,
    keep_best: bool = False,
) -> bool:
    """Trains the trials to their ends, `layout.width` at a time; False when SIGTERM came, with all saved.

    Ctrl-C saves too, and raises KeyboardInterrupt then.

    The next trial is asked for when a lane is free. A pack that was killed goes on from the checkpoint in
    `folder`, with the same trials in the same order; those numbered in `ended` are left alone. `on_begin` is
    called for each trial that enters a lane, `on_end` when it ends: one whose loss is not finite, or whose
    batch or validation fails, fails alone, and `prune` stops some after a validation. `on_step` gets the
    clock, which counts the steps of a lane that is always in use, and how many steps of trials are new since
    the last call.

    With `keep_best`, `on_end` gets the parameters of a trial's best validation too; they take as much room
    on the device again as the parameters do.

    Raises TaskError where the program that the trials share fails.

    The device computes the next chunk while the host looks at the one before, except `in_step`: then what
    `trials` and `prune` are asked, and when, is the same however often the pack is killed.
    """
    with ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(folder / "checkpoints", keep=1, mode="max"))
        interrupt = stack.enter_context(interrupt_on_signals())
        batches = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="batches"))
        stack.callback(batches.shutdown, wait=False, cancel_futures=True)
        pack = PackLanes(
            program, iter(trials), ended, on_begin, on_end, prune, batches, keep_best, interrupt.is_set
        )
        on_step(*pack.restore(checkpoints))
        program.compile()
        running: Round | None = None
        while True:
            # As in `fit`: the next chunk is dispatched before the host looks at the one before. Not where
            # trials come to their ends: their evaluations would stand in line behind that chunk.
            before, running = running, None
            if not interrupt.is_set():
                pack.fill()
                running = pack.dispatch()
            if before is None and running is None:
                break
            at_once = in_step or (running is not None and running.last)
            due, running = ([before, running], None) if at_once else ([before], running)
            for chunk in due:
                if chunk is not None:
                    on_step(chunk.clock, pack.settle(chunk, checkpoints))
        if interrupt.is_set():
            pack.save_now(checkpoints)
    return pack.finished
