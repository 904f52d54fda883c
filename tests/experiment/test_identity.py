from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from attnjax.config import InputError
from attnjax.experiment.identity import canonical, fingerprint, run_id

pytestmark = pytest.mark.versions


@dataclass(frozen=True)
class Config:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    file: Path | None = None


def test_the_canonical_form_is_pinned():
    """Changing it gives every stored run another id: only on purpose."""
    assert canonical("toy", Config()) == (
        '{"config":{"file":null,"rate":0.5,"sizes":[1,2]},"experiment":"toy"}'
    )
    assert run_id("toy", Config()) == "toy-c793a235"


@pytest.mark.parametrize("change", [{"rate": 0.6}, {"sizes": (2, 1)}, {"sizes": (1, 2, 3)}])
def test_every_field_counts(change):
    assert fingerprint("toy", replace(Config(), **change)) != fingerprint("toy", Config())


def test_the_experiment_counts():
    assert fingerprint("a", Config()) != fingerprint("b", Config())


def test_how_a_number_was_written_does_not_count():
    assert fingerprint("toy", Config(rate=1)) == fingerprint("toy", Config(rate=1.0))


def test_the_content_of_a_file_counts_and_its_place_does_not(tmp_path):
    here, there = tmp_path / "a.tsv", tmp_path / "b.tsv"
    here.write_text("x\ty\n")
    there.write_text("x\ty\n")
    first = fingerprint("toy", Config(file=here))
    assert fingerprint("toy", Config(file=there)) == first
    there.write_text("x\tz\n")
    assert fingerprint("toy", Config(file=there)) != first


def test_a_folder_counts_by_the_names_and_contents_inside(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    first = fingerprint("toy", Config(file=tmp_path))
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    assert fingerprint("toy", Config(file=tmp_path)) != first


def test_a_missing_file_is_named_by_field():
    with pytest.raises(InputError, match=r"file is 'nowhere.tsv': there is no such file"):
        fingerprint("toy", Config(file=Path("nowhere.tsv")))
