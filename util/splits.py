"""The films of a training: its splits, read as the options ask."""

from itertools import combinations

import pandas as pd

from clahe.enhance import complete_clahe, made_with
from preprocessing import Films, keep_copies, load_films
from util.data_folder import SPLITS, split_folder
from util.errors import UserError
from util.identity import film_keys, patient_ids, patients_for_splits
from util.split_records import notes_on_labels, record_films, report_splits
from util.stratify import divide


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


def is_of_fold(trained, split):
    """Whether a split of a run with the options `trained` (a dict) is that of a fold: all folds
    have the same test films."""
    return bool(trained.get("folds")) and split != "test"


def load_trained_split(trained, data_dir, split, canvas, **reading):
    """Read a split on a Canvas as a run with the options `trained` (a dict) had it; for a fold,
    training and validation films are those of `fold_films`. `reading` is passed on to
    `load_films`."""
    if not is_of_fold(trained, split):
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
