"""What asyncio announces of reads that nobody waits for any more."""

import asyncio
import gc
import logging

import pytest

from attnjax.train.abandoned_reads import silence_abandoned_reads


def abandon(loop: asyncio.AbstractEventLoop, error: str, *, in_a_task: bool) -> None:
    """Leaves a failed future, or a task that failed with it, to the garbage collector."""

    async def read() -> None:
        raise ValueError(error)

    if in_a_task:
        task = loop.create_task(read())
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert task.done()
    else:
        loop.create_future().set_exception(ValueError(error))
    task = None
    gc.collect(1)  # It is young; the whole heap takes seconds.


@pytest.mark.parametrize("in_a_task", [True, False], ids=["task", "future"])
@pytest.mark.parametrize(
    ("error", "shown"), [("OUT_OF_RANGE [tensorstore_spec={}]", False), ("another library's", True)]
)
def test_only_reads_of_checkpoints_are_silenced(error, shown, in_a_task, caplog):
    silence_abandoned_reads()
    loop = asyncio.new_event_loop()
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        abandon(loop, error, in_a_task=in_a_task)
    loop.close()
    assert ("never retrieved" in caplog.text) == shown
