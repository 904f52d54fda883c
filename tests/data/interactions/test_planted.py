"""The generated log: its events follow the probabilities that it states."""

import numpy as np

from attnjax.data.interactions.config import PlantedLogData
from attnjax.data.interactions.planted import NONE, PlantedLog

CONFIG = PlantedLogData(users=1500, items=12, events=9, gap=3, far=0.6, near=0.3)


def literal(planted: PlantedLog, history: list[int]) -> np.ndarray:
    """The docstring's words: an event waits for its sequel until that comes, and it is due after the gap."""
    due = []
    for place, item in enumerate(history):
        sequel = planted.sequels[item]
        if sequel != NONE and len(history) - place >= CONFIG.gap and sequel not in history[place + 1 :]:
            due.append(sequel)
    found = (1 - CONFIG.near) * planted.popularity + CONFIG.near * np.eye(12)[planted.successors[history[-1]]]
    return found if not due else (1 - CONFIG.far) * found + CONFIG.far * np.eye(12)[due].mean(0)


def test_probabilities_are_those_of_the_rules_and_events_follow_them() -> None:
    """The log likelihood of the last event is what the entropy says, to within its spread."""
    planted = PlantedLog(CONFIG, seed=3)
    log = planted.log()
    gains, misses = [], []
    for user in range(log.users):
        *history, last = log.of_user(user).tolist()
        stated = planted.probabilities(history)
        np.testing.assert_allclose(stated, literal(planted, history), atol=1e-12)
        gains.append(np.log(stated[last]) - (stated * np.log(stated)).sum())
        top = stated.argmax()
        misses.append((top == last) - stated[top])
    for found in (gains, misses):
        assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.mean([len(planted.due(log.of_user(u)[:-1])) > 0 for u in range(300)]) > 0.3


def test_a_log_is_decided_by_its_seed_and_half_of_the_items_have_sequels_in_the_other() -> None:
    planted = PlantedLog(CONFIG, seed=1)
    assert (planted.log().items == PlantedLog(CONFIG, seed=1).log().items).all()
    assert (planted.log().items != PlantedLog(CONFIG, seed=2).log().items).any()
    with_sequel = np.flatnonzero(planted.sequels != NONE)
    assert sorted([*with_sequel, *planted.sequels[with_sequel]]) == list(range(12))
    assert (np.diff(planted.log().times.reshape(1500, 9)) >= 0).all()
