#!/usr/bin/env bash
# After an earlier checkpoint was restored, a CheckpointManager saves nothing until training has passed the last one again.
#
# Guess: after restore(10) of the checkpoints 10, 20 and 30 the next save(15) writes a checkpoint, or says why not.
# Seen, orbax-checkpoint 0.12.8: save returns False for 15, 20, 25 and 30 and prints nothing; 35 is the first one that is
#   written, and at 20 and 30 lie the old weights. Deleting 20 and 30 before makes it save.
# Who is hurt: whoever goes back before a divergence and trains on: a crash in that stretch costs all of it, and the next start
#   goes on from the weights that were to be left behind.
# What helps: manager.delete(step) for each later step first; to look at what save returns.
# Seen output:
#   saved after going back: 15 False, 20 False, 25 False, 30 False, 35 True; at 20 lies +20
#   the later ones deleted before: 15 True, 20 True, 25 True, 30 True, 35 True; at 20 lies -20
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages orbax-checkpoint==0.12.8 jax==0.10.2

cat >back.py <<'PYTHON'
import sys
import tempfile

import numpy as np
import orbax.checkpoint as ocp

weights = {"weights": np.zeros(2)}
with tempfile.TemporaryDirectory() as folder, ocp.CheckpointManager(folder) as manager:
    for step in (10, 20, 30):
        manager.save(step, args=ocp.args.StandardSave({"weights": np.full(2, step)}))
    manager.wait_until_finished()
    manager.restore(10, args=ocp.args.StandardRestore(weights))
    for step in map(int, sys.argv[1:]):
        manager.delete(step)
    saved = {step: manager.save(step, args=ocp.args.StandardSave({"weights": np.full(2, -step)})) for step in range(15, 36, 5)}
    manager.wait_until_finished()
    found = manager.restore(20, args=ocp.args.StandardRestore(weights))["weights"][0]
    print(", ".join(f"{step} {whether}" for step, whether in saved.items()), end=f"; at 20 lies {found:+.0f}\n")
PYTHON

seen() { JAX_PLATFORMS=cpu "$PYTHON_WITH" back.py "$@" 2>/dev/null; }

expect "saved after going back" "$(seen)" "15 False, 20 False, 25 False, 30 False, 35 True; at 20 lies +20"
expect "the later ones deleted before" "$(seen 20 30)" "15 True, 20 True, 25 True, 30 True, 35 True; at 20 lies -20"
