#!/usr/bin/env bash
# Training a WordPiece tokenizer twice on the same text gives two vocabularies.
#
# Guess: the same text and the same trainer give the same tokenizer, as BPE does.
# Seen, tokenizers 0.23.3: twelve processes give twelve WordPiece vocabularies, which contain different pieces, so that the
#   same sentence is encoded otherwise; with one thread too. BPE gives one tokenizer.
# Who is hurt: whoever trains a tokenizer as a step of an experiment that is to be repeated bit for bit, or on each host of
#   a cluster for itself: the ids of one do not fit the embeddings of the other.
# What helps: train once, keep the file, load it everywhere; or BPE.
# Seen output:
#   BPE: 1 tokenizers from 12 processes
#   WordPiece: 12 tokenizers from 12 processes
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages tokenizers==0.23.3

cat >train.py <<'PYTHON'
import hashlib, random, sys
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

dice = random.Random(0)
words = ["".join(dice.choice("abcdefgh") for _ in range(dice.randint(3, 9))) for _ in range(3000)]
common = {"special_tokens": ["?"], "show_progress": False}
model, trainer = {
    "BPE": (models.BPE(unk_token="?"), trainers.BpeTrainer(vocab_size=1500, **common)),
    "WordPiece": (models.WordPiece(unk_token="?"), trainers.WordPieceTrainer(vocab_size=1500, **common)),
}[sys.argv[1]]
tokenizer = Tokenizer(model)
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.train_from_iterator([" ".join(words)], trainer)
encoded = tokenizer.encode(" ".join(words[:200])).tokens
print(*(hashlib.sha256(repr(x).encode()).hexdigest()[:8] for x in (sorted(tokenizer.get_vocab()), encoded)))
PYTHON

for model in BPE WordPiece; do
    seen=$(for _ in {1..12}; do RAYON_NUM_THREADS=1 "$PYTHON_WITH" train.py "$model"; done | sort -u | wc -l)
    printf '%s: %s tokenizers from 12 processes\n' "$model" "$seen"
    expect "$model, one tokenizer" "$([ "$seen" = 1 ] && echo yes || echo no)" "$([ "$model" = BPE ] && echo yes || echo no)"
done
