"""The batches of a corpus, as its settings ask for them."""

from typing import Any

import numpy as np

from attnjax.data.pipeline import Batches
from attnjax.data.text.buckets import BucketedBatches
from attnjax.data.text.config import TranslationData
from attnjax.data.text.corpus import ROOM, Corpus
from attnjax.data.text.packed_pairs import PackedPairs


def training_batches(
    corpus: Corpus, data: TranslationData, batch_size: int, chunk: int, *, numbered: bool = False
) -> Batches | BucketedBatches | PackedPairs:
    """Returns the batches of the "train" part: all of one shape, packed, or by lengths and corpora.

    Args:
      corpus: that `data` stands for.
      data: the settings.
      batch_size: of all hosts together.
      chunk: steps whose batches share a shape.
      numbered: True for batches with the place of each pair in the "train" part, as "row"; of one shape.
    """
    if corpus.store is None:
        rows = {"row": np.arange(len(corpus.train["source"]))} if numbered else {}
        return Batches({**corpus.train, **rows}, batch_size, data.seed)
    sizes: dict[str, Any] = {"seed": data.seed, "batch_size": batch_size, "batch_tokens": data.batch_tokens}
    if data.packing is not None:
        return PackedPairs(corpus.store, data.packing, **sizes)
    return BucketedBatches(
        corpus.store,
        **sizes,
        count=data.buckets,
        weights=data.weights or None,
        chunk=chunk,
        room=ROOM if data.regularised else 1.0,
        most=(corpus.encoder.source_width, corpus.encoder.target_width),
    )
