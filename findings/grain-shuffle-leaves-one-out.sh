#!/usr/bin/env bash
# A shuffled epoch of 4^k + 1 records (65537, 262145, 1048577, …) has one record twice and another never.
#
# Guess: MapDataset.shuffle() and IndexSampler(shuffle=True) give a permutation: every record once in an epoch, whatever the
#   number of records.
# Seen, grain 0.2.18: true of all sizes tried (1 to 70, powers of two and their neighbours up to 2^20) but 65537, 262145 and
#   1048577, where one record is missing from the whole epoch and another comes twice, for any seed.
# Who is hurt: whoever counts on an epoch holding everything: an evaluation that is shuffled, a table of predictions by
#   record, a training set split by position. Nothing warns, and no length looks wrong.
# What helps: one record more or less, or an order of one's own (NumPy's permutation).
# Seen output:
#   MapDataset.shuffle, records seen of 65536: 65536
#   MapDataset.shuffle, records seen of 65537: 65536
#   MapDataset.shuffle, records seen of 65538: 65538
#   MapDataset.shuffle, records seen of 131073: 131073
#   MapDataset.shuffle, records seen of 262145: 262144
#   IndexSampler, records seen of 65537: 65536
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages grain==0.2.18

cat >shuffle.py <<'PYTHON'
import sys

import grain

kind, count = sys.argv[1], int(sys.argv[2])
if kind == "IndexSampler":
    sampler = grain.samplers.IndexSampler(num_records=count, shuffle=True, seed=1, num_epochs=1)
    print(len({sampler[i].record_key for i in range(count)}))
else:
    shuffled = grain.MapDataset.range(count).shuffle(seed=42)
    print(len({shuffled[i] for i in range(count)}))
PYTHON

for count in 65536 65537 65538 131073 262145; do
    seen=$("$PYTHON_WITH" shuffle.py MapDataset "$count" 2>/dev/null)
    case $count in 65537 | 262145) found=$((count - 1)) ;; *) found=$count ;; esac
    expect "MapDataset.shuffle, records seen of $count" "$seen" "$found"
done
expect "IndexSampler, records seen of 65537" "$("$PYTHON_WITH" shuffle.py IndexSampler 65537 2>/dev/null)" 65536
