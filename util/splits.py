"""The films of a training: its splits, read as the options ask, and what the run records of
them."""

from itertools import combinations

import pandas as pd

from clahe.enhance import complete_clahe, made_with
from preprocessing import Films, keep_copies, load_films
from util.canvases import hand_crop_versions
from util.data_folder import SPLITS, split_folder
from util.errors import UserError
from util.files import write_csv
from util.film_files import count_reasons
from util.identity import (
    film_keys,
    fingerprint,
    hash_files,
    label_columns,
    patient_ids,
    patients_for_splits,
)
from util.labels import years_note
from util.oddities import Oddities, format_counts
from util.runs import FILM_LISTS, add_to_config, changed_facts, configs_of_folds
from util.stratify import divide

# of `split_facts`: the same values mean the same data, whatever machine computed them
SAME_DATA = ("fingerprint", "files")
LEAST_NOISE = 0.5  # months; less noise on labels changes next to nothing


def load_splits(args, run):
    """Read all splits, under --use_clahe_val_test also "val_clahe" and "test_clahe", and record
    them in the run."""
    splits = read_splits(args)
    if args.use_clahe_val_test:
        splits |= load_clahe(splits, args, run)
    report_splits(splits, args.fit, run)
    record_films(splits, args, run)
    for note in notes_on_labels(splits["train"].table["boneage"], args.label_noise_std):
        run.log(f"note: {note}")
    return splits


# ------------------------------------------------------------------------------------- reading them


def read_splits(args):
    """Read the films of all splits as the options ask; under --folds training and validation are
    those of the fold."""
    splits = {split: load_split(args, split) for split in SPLITS}
    check_splits_apart(splits)
    if args.folds:
        splits |= fold_films(splits["train"], splits["val"], args.folds, args.fold, args.seed)
    return splits


def load_split(args, split, clahe=False):
    return load_films(
        args.data_dir,
        split,
        args.img_size,
        args.fit,
        male_value=args.male_value,
        cache_dir=args.cache_dir,
        clahe=clahe,
        progress=args.verbose == 1,
    )


def load_trained_split(trained, data_dir, split, canvas, **reading):
    """Read a split on a Canvas as a run with the options `trained` (a dict) had it; for a fold,
    training and validation films are those of `fold_films`. `reading` is passed on to
    `load_films`."""
    if not trained.get("folds") or split == "test":
        return load_films(data_dir, split, *canvas, **reading)
    parts = [load_films(data_dir, name, *canvas, **reading) for name in ("train", "val")]
    return fold_films(*parts, trained["folds"], trained["fold"], trained["seed"])[split]


def fold_films(train, val, folds, fold, seed):
    """Pool training and validation films and divide them into `folds` parts, stratified by sex and
    age: part `fold` (1 .. folds) is validation, all others are training. Returns {"train", "val":
    Films}; UserError when there are fewer patients than folds."""
    table = pd.concat([train.table, val.table], ignore_index=True)
    pixels = train.pixels.join(val.pixels)
    patients = patients_for_splits(table).nunique()
    if patients < folds:
        raise UserError(
            f"{len(table)} films of {patients} patients are too few for {folds} folds. "
            "Use fewer (--folds)."
        )
    held_out = divide(table, folds, seed) == fold - 1
    return {
        "train": Films(table, pixels, train.left_out).keep(~held_out),
        "val": Films(table, pixels, val.left_out).keep(held_out),
    }


def load_clahe(splits, args, run):
    """Return the CLAHE copies of the validation and test films of `splits`; missing copies are made
    first."""
    run.log(
        "CLAHE: validation and test films then differ from the training films, which can raise "
        "the error; both figures are reported"
    )
    settings = []
    for split in ("val", "test"):
        run.log("CLAHE: " + complete_clahe(args.data_dir, split, progress=args.verbose == 1))
        settings.append(made_with(split_folder(args.data_dir, split, clahe=True)))
    if settings[0] != settings[1]:
        run.log("note: the copies of validation and test films were made with different settings")
    return {
        f"{split}_clahe": keep_copies(load_split(args, split, clahe=True), splits[split])
        for split in ("val", "test")
    }


def check_splits_apart(splits):
    """UserError when a film or a patient is in two splits: the error would be measured on films
    that the model knows."""
    for one, two in combinations(splits, 2):
        table, other = splits[one].table, splits[two].table
        same = table["id"].isin(other["id"]) | film_keys(table).isin(film_keys(other))
        known = patient_ids(table).isin(set(patient_ids(other)) - {""})
        for name, shared in (("ids", table["id"][same]), ("patients", table["patient"][known])):
            if len(shared):
                raise UserError(
                    f"{shared.nunique()} {name} are in both {one} and {two}, such as "
                    f"{shared.min()}. Each may be in one split only, leading zeros aside: "
                    "remove it from one of the tables."
                )


# ----------------------------------------------------------------------- what the run keeps of them


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
    facts = {split: {name: part[name] for name in SAME_DATA} for split, part in data.items()}
    changed = [split for split in data if changed_facts(facts[split], known.get(split, {}))]
    if changed:
        raise UserError(
            f"films or labels of {', '.join(changed)} changed since the run was started "
            f"({run.folder}). Restore them, or start a new run."
        )
    add_to_config(run, {"data": data})


def split_facts(films):
    """Return what config.json records of a split: n, how many are male, statistics of labels
    (months), a hash of ids and labels in their order, and one of the files, see `hash_files`."""
    boneage = films.table["boneage"]
    return {
        "n": len(films),
        "male": int(films.table["sex"].sum()),
        "mean": float(boneage.mean()),
        "sd": float(boneage.std(ddof=0)),
        "median": float(boneage.median()),
        "fingerprint": fingerprint(films.table),
        "files": hash_files(films.table),
    }


def check_same_folds(configs, folder):
    """UserError when the folds of these configs don't come from the same films and files."""
    known = []
    for data in (config["data"] for config in configs):
        facts = {f"test {key}": data["test"][key] for key in SAME_DATA if key in data["test"]}
        divided = [data[split].get("files") for split in ("train", "val")]
        if all(divided):  # earlier versions recorded none
            facts["divided"] = sum(int(files, 16) for files in divided) % 2**64
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
        ages = f"all training films are labelled {boneage.iloc[0]:g} months"
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
