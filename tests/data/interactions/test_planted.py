"""The generated log: its events follow the probabilities that it states."""

import numpy as np

from attnjax.data.interactions.config import PlantedLogData
from attnjax.data.interactions.planted import NONE, PlantedLog

CONFIG = PlantedLogData(users=1500, items=12, groups=6, events=9, gap=3, far=0.6, near=0.3)


def literal(planted: PlantedLog, history: list[int]) -> np.ndarray:
    """The docstring's words: an item waits until one of the sequel comes, and that is due after the gap."""
    groups = [int(planted.group_of[item]) for item in history]

    def of_group(group: int) -> np.ndarray:
        own = np.where(planted.group_of == group, planted.popularity, 0)
        return own / own.sum()

    due = []
    for place, group in enumerate(groups):
        sequel = planted.sequels[group]
        if sequel != NONE and len(history) - place >= CONFIG.gap and sequel not in groups[place + 1 :]:
            due.append(of_group(sequel))
    near = of_group(planted.successors[groups[-1]])
    found = (1 - CONFIG.near) * planted.popularity + CONFIG.near * near
    return found if not due else (1 - CONFIG.far) * found + CONFIG.far * np.mean(due, axis=0)


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
    assert np.mean([len(planted.due(log.of_user(u)[:-1])) > 0 for u in range(300)]) > 0.2


def test_a_log_is_decided_by_its_seed_and_half_of_the_groups_have_sequels_in_the_other() -> None:
    planted = PlantedLog(CONFIG, seed=1)
    assert (planted.log().items == PlantedLog(CONFIG, seed=1).log().items).all()
    assert (planted.log().items != PlantedLog(CONFIG, seed=2).log().items).any()
    with_sequel = np.flatnonzero(planted.sequels != NONE)
    assert sorted([*with_sequel, *planted.sequels[with_sequel]]) == list(range(6))
    assert (np.diff(planted.log().times.reshape(1500, 9)) >= 0).all()
