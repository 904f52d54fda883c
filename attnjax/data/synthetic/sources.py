"""The sources of sequences by the settings of each."""

from collections.abc import Callable, Mapping
from typing import Any

from attnjax.data.synthetic import config
from attnjax.data.synthetic.copying import Copying
from attnjax.data.synthetic.date_bytes import DateBytes
from attnjax.data.synthetic.group_words import GroupWords
from attnjax.data.synthetic.induction import Induction
from attnjax.data.synthetic.library_bytes import LibraryBytes
from attnjax.data.synthetic.listops import ListOps
from attnjax.data.synthetic.questions import Sequences
from attnjax.data.synthetic.recall import Recall
from attnjax.data.synthetic.selective_copying import SelectiveCopying

_OF: Mapping[type, Callable[[Any], Sequences]] = {
    config.RecallData: Recall,
    config.CopyingData: Copying,
    config.InductionData: Induction,
    config.SelectiveCopyingData: SelectiveCopying,
    config.ListOpsData: ListOps,
    config.GroupWordsData: GroupWords,
    config.LibraryBytesData: LibraryBytes,
    config.DateBytesData: DateBytes,
}


def make_source(data: config.SourceData) -> Sequences:
    """Returns the source that the settings name.

    >>> make_source(config.SourceData("parity")).vocab
    2
    """
    own = data.own
    return _OF[type(own)](own)
