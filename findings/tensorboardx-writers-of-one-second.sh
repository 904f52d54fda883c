#!/usr/bin/env bash
# Two tensorboardX writers that are opened in one folder within the same second write one file, and rows are lost.
#
# Guess: each writer has a file of its own, as the event files of TensorFlow's and PyTorch's writers have.
# Seen, tensorboardX 2.6.5: the name of the file ends in the host and the second; the second writer opens the first one's
#   file anew. Of the ten rows that two writers were given, TensorBoard 2.21.0 reads five.
# Who is hurt: whoever starts several short runs or processes that log into one folder, or goes on with a run at once.
# What helps: a filename_suffix that differs, such as the process and a count.
# Seen output:
#   files of two writers: 1
#   rows read of the ten written: 5
#   files of two writers with suffixes: 2
#   rows read of the ten written with suffixes: 10
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages tensorboardX==2.6.5 tensorboard==2.21.0 'setuptools<81'

cat >write.py <<'PYTHON'
import sys, time
from pathlib import Path
from tensorboardX import SummaryWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder, suffixes = sys.argv[1], sys.argv[2:] or ["", ""]
time.sleep(1 - time.time() % 1)  # At the beginning of a second, so that both writers are opened in it.
writers = [SummaryWriter(folder, filename_suffix=suffix) for suffix in suffixes]
for count, writer in enumerate(writers):
    for step in range(5):
        writer.add_scalar("loss", 0.5, 5 * count + step)
    writer.close()
events = EventAccumulator(folder)
events.Reload()
print(len(list(Path(folder).glob("events*"))), len(events.Scalars("loss")))
PYTHON

read -r files rows < <("$PYTHON_WITH" write.py same 2>/dev/null)
expect "files of two writers" "$files" 1
expect "rows read of the ten written" "$rows" 5
read -r files rows < <("$PYTHON_WITH" write.py apart .1 .2 2>/dev/null)
expect "files of two writers with suffixes" "$files" 2
expect "rows read of the ten written with suffixes" "$rows" 10
