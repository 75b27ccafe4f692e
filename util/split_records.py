"""What a run records of the films of its splits, and what it says of them."""

from itertools import combinations
from pathlib import Path

import pandas as pd

from hand_crop.localiser import SMALL_HANDS, localiser_version
from hand_crop.orientation import orientation_version
from util.errors import UserError
from util.files import write_csv
from util.finished_runs import configs_of_folds
from util.identity import MONTH_DECIMALS, fingerprint, hash_files, label_columns
from util.oddities import Oddities, format_counts
from util.runs import FILM_LISTS, add_to_config, changed_facts
from util.tables.ages import years_note
from util.tables.left_out import count_reasons

# of `split_facts`: the same values mean the same data, whatever machine computed them
FILE_FACTS = ("files", "bytes")  # earlier versions recorded the size alone
SAME_DATA = ("fingerprint", *FILE_FACTS)
LEAST_NOISE = 0.5  # months; less noise on labels changes next to nothing


def report_splits(splits, fit, run):
    """Say how many films each split has, and list in the run those that were left out."""
    left_out = [part.left_out.assign(split=split) for split, part in splits.items()]
    write_csv(run.path("left_out.csv"), pd.concat(left_out))
    for split, part in splits.items():
        run.log(describe_split(split, part, fit))
        for note in years_note(part.table, split):
            run.log(f"note: {note}")
    if any(len(part.left_out) for part in splits.values()):
        run.log(f"left-out rows are listed in {run.path('left_out.csv')}")


def describe_split(split, part, fit):
    """Return one line on the films of a split: how many there are, what is odd about some, and what
    was left out."""
    counts = part.pixels.oddities.counts()
    facts = [f"{split:10s} {len(part):6d} films", *format_counts(counts, right=fit == "hand")]
    if len(part.left_out):
        facts.append(f"left out: {count_reasons(part.left_out)}")
    return ", ".join(facts)


def record_films(splits, args, run):
    """Record in the run which films it is trained on; UserError when the films of a resumed run
    have changed."""
    record_data(run, {split: split_facts(part) for split, part in splits.items()})
    if args.folds:
        folder = run.folder.parent
        started = [config for config in configs_of_folds(folder) if config and "data" in config]
        check_same_folds(started, folder)
    if note := one_sex_note(run.config["data"]["train"]):
        run.log(f"note: {note}")
    trained = splits["train"].table
    write_csv(run.path(FILM_LISTS["train"]), trained[label_columns(trained)])
    if args.fit == "hand":
        record_hand_crop(run, splits)


def record_data(run, data):
    """Record what the run is trained on; UserError when the data of a resumed run has changed."""
    known = run.config.get("data", {})
    changed = [
        split
        for split, facts in data.items()
        if changed_facts(facts, known.get(split, {})).keys() & SAME_DATA
    ]
    if changed:
        raise UserError(
            f"films or labels of {', '.join(changed)} changed since the run was started "
            f"({run.folder}). Restore them, or start a new run."
        )
    add_to_config(run, {"data": data})


def split_facts(films):
    """Return what config.json records of a split: n, how many are male, statistics of labels
    (months), a hash of ids and labels in their order, one of the files, see `hash_files`, and the
    size of all files in bytes."""
    boneage = films.table["boneage"]
    return {
        "n": len(films),
        "male": int(films.table["sex"].sum()),
        "mean": float(boneage.mean()),
        "sd": float(boneage.std(ddof=0)),
        "median": float(boneage.median()),
        "fingerprint": fingerprint(films.table),
        "files": hash_files(films.table),
        "bytes": sum(Path(path).stat().st_size for path in films.table["path"]),
    }


def check_same_folds(configs, folder):
    """UserError when the folds of these configs don't come from the same films and files."""
    known = []
    for data in (config["data"] for config in configs):
        parts, test = (data["train"], data["val"]), data["test"]
        facts = {f"test {key}": test[key] for key in SAME_DATA if key in test}
        facts["months"] = round(sum(part["n"] * part["mean"] for part in parts), MONTH_DECIMALS)
        for key in ("n", "male", "bytes"):
            if all(key in part for part in parts):  # earlier versions recorded less
                facts[key] = sum(part[key] for part in parts)
        if all("files" in part for part in parts):
            facts["files"] = sum(int(part["files"], 16) for part in parts) % 2**64
        known.append(facts)
    if any(changed_facts(*pair) for pair in combinations(known, 2)):
        raise UserError(
            "films or labels changed between the folds, so these can't be judged together "
            f"({folder}). Restore them, or retrain all under another --run_name."
        )


def notes_on_labels(boneage, noise_sd):
    """Return warnings, a list, about the labels of the training films and the noise that is added
    to them, both in months."""
    notes = []
    if boneage.nunique() == 1:
        ages = f"all training films are labelled {round(boneage.iloc[0], 1):g} months"
        notes.append(f"{ages}: there is nothing to learn from them")
    if 0 < noise_sd < LEAST_NOISE:
        notes.append(
            f"--label_noise_std {noise_sd:g} is in months: less than {LEAST_NOISE:g} has next to no "
            "effect"
        )
    return notes


def one_sex_note(facts):
    """Return a note on a model if all its training films are of one sex, otherwise ""; `facts` are
    those of `split_facts`."""
    if facts.get("male") not in (0, facts["n"]):
        return ""
    known, other = ("girls", "boys") if facts["male"] == 0 else ("boys", "girls")
    return f"all training films are of {known}: predictions for {other} are meaningless"


def record_hand_crop(run, splits):
    """Record the versions of the networks that cut films to the hand, and how many films of each
    split show each of Oddities; UserError when the networks have changed since a resumed run was
    started."""
    networks, known = hand_crop_versions(), run.config.get("hand_crop")
    if known and {name: known.get(name) for name in networks} != networks:
        raise UserError(
            f"hand_crop/ changed since the run was started ({run.folder}). "
            "Restore it, or start a new run."
        )
    counts = {split: part.pixels.oddities.counts() for split, part in splits.items()}
    odd = {name: {split: n[name] for split, n in counts.items()} for name in Oddities._fields}
    add_to_config(run, {"hand_crop": networks | odd})


def hand_crop_versions():
    """Return what decides how films are set right and cut, {name: short text}; runs record it."""
    return {
        "localiser": localiser_version(),
        "orientation": orientation_version(),
        "small_hands": SMALL_HANDS,
    }


def hand_crop_changed(config):
    """Whether films are set right and cut otherwise than in the run with a config. What an older
    run did not record counts as unchanged."""
    return bool(changed_facts(hand_crop_versions(), config.get("hand_crop", {})))
