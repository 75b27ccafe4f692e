"""The printed table of splits (util/split_table.py)."""

import pandas as pd

from util.split_table import format_splits, label_facts, print_splits

FILMS = pd.DataFrame(
    {
        "split": ["train", "train", "train", "train", "test"],
        "sex": [1, 1, 1, 0, 0],
        "boneage": [10.0, 60, 130, 200, 119],
    }
)


def test_the_table_counts_films_by_split_sex_and_age(capsys):
    print_splits(FILMS)
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header[:4] == ["split", "films", "boys", "girls"]
    assert rows == [
        ["train", "4", "3", "1", "1", "1", "1", "1", "100.0"],
        ["val", "0", "0", "0", "0", "0", "0", "0", "-"],
        ["test", "1", "0", "1", "0", "1", "0", "0", "119.0"],
    ]


def test_ages_of_a_split_are_told_as_they_are():
    facts = label_facts(FILMS[:2])
    assert [facts[f"{name}_age"] for name in ("mean", "sd", "min", "max")] == [35, 25, 10, 60]
    assert label_facts(FILMS[:0])["mean_age"] is None


def test_a_split_without_a_table_has_no_rows():
    lines = list(format_splits({"train": label_facts(FILMS) | {"films": 5}}, "films"))
    assert [line.split()[:2] for line in lines[2:]] == [["val", "no"], ["test", "no"]]
