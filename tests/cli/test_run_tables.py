"""The table at the end of a run."""

from attnjax.cli.run_tables import _scores


def test_rows_with_mostly_other_columns_have_a_table_of_their_own() -> None:
    scores = {"AUROC": 0.7, "AUPRC": 0.6, "inputs": 10.0}
    metrics = {
        "test": scores | {"gap": 0.1},
        "share of the label": scores,
        "1 day before": {"AUROC": 0.6, "found %": 50.0, "best found %": 60.0},
        "2 days before": {"AUROC": 0.5, "found %": 40.0, "best found %": 50.0},
        "random order": {"comprehensiveness": 0.1},
    }
    found = [
        (table.row_count, [str(column.header) for column in table.columns]) for table in _scores(metrics)
    ]
    assert found == [
        (2, ["", "AUROC", "AUPRC", "inputs", "gap"]),
        (2, ["", "AUROC", "found %", "best found %"]),
        (1, ["", "comprehensiveness"]),
    ]
