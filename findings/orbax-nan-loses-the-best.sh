#!/usr/bin/env bash
# A CheckpointManager that keeps the best checkpoints deletes the best one when a later one's metric is NaN.
#
# Guess: a checkpoint whose loss is NaN is the worst, so that it is the first to go, and best_step() is the least loss.
# Seen, orbax-checkpoint 0.12.8, max_to_keep=2, best_mode="min": NaN stands wherever the sort by the metric leaves it. Of the
#   losses 1, NaN, 3, 2 the steps 2 and 3 are kept, and the checkpoint with loss 1 is gone; of 3, 2, 1, NaN the best step is
#   said to be 3, the one with NaN. With inf in place of NaN both are as guessed.
# Who is hurt: whoever's training diverges once after its best validation: what was to survive exactly that is deleted.
# What helps: a best_fn that returns inf (-inf with best_mode="max") for NaN.
# Seen output:
#   losses 1, nan, 3, 2: kept 2 3, best 3
#   losses 3, 2, 1, nan: kept 2 3, best 3
#   losses 1, inf, 3, 2: kept 0 3, best 0
#   losses 3, 2, 1, inf: kept 1 2, best 2
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages orbax-checkpoint==0.12.8 jax==0.10.2

cat >best.py <<'PYTHON'
import sys
import tempfile

import numpy as np
import orbax.checkpoint as ocp

options = ocp.CheckpointManagerOptions(max_to_keep=2, best_fn=lambda metrics: metrics["loss"], best_mode="min")
with tempfile.TemporaryDirectory() as folder, ocp.CheckpointManager(folder, options=options) as manager:
    for step, loss in enumerate(map(float, sys.argv[1:])):
        manager.save(step, args=ocp.args.StandardSave({"weights": np.full(2, step)}), metrics={"loss": loss})
    manager.wait_until_finished()
    print("kept", *sorted(manager.all_steps(read=True)), end=f", best {manager.best_step()}\n")
PYTHON

seen() { JAX_PLATFORMS=cpu "$PYTHON_WITH" best.py "$@" 2>/dev/null; }

expect "losses 1, nan, 3, 2" "$(seen 1 nan 3 2)" "kept 2 3, best 3"
expect "losses 3, 2, 1, nan" "$(seen 3 2 1 nan)" "kept 2 3, best 3"
expect "losses 1, inf, 3, 2" "$(seen 1 inf 3 2)" "kept 0 3, best 0"
expect "losses 3, 2, 1, inf" "$(seen 3 2 1 inf)" "kept 1 2, best 2"
