"""The evaluation of a run at the end of its training: errors on validation and test films, a
calibration fitted to the validation films, and readings (what a single reader would say)."""

import time

import numpy as np

from util.backbones import sees_sex
from util.files import write_csv
from util.finished_runs import load_run_model
from util.metrics import label_predictions
from util.predicting.calibration import correct_months, cross_fit, fit_calibration
from util.predicting.intervals import evaluate_with_intervals
from util.predicting.prediction import check_finite, compile_predictor, predict_months
from util.predicting.readings import fit_readings, with_readings
from util.runs import CALIBRATION, READINGS, predictions_name
from util.tta import (
    chosen_views,
    test_time_augmentation,
    views_key,
    views_suffix,
    views_to_evaluate,
)


def evaluate_splits(splits, args, run):
    """Predict all splits except training with the kept model, and calibrate on validation.

    Under --use_tta this is also done over several views. Returns (metrics, predictions), each by
    split; "test_tta" is "test" over several views. Writes the predictions, calibration.json and
    readings.json.
    """
    model = load_run_model(run)
    predict = compile_predictor(model)
    warm_up(predict, splits["test"], args.batch_size_eval)  # as its films a second are recorded
    per_sex = sees_sex(args.model_type)
    calibrations, tables, speed = {}, {}, {}
    for views in views_to_evaluate(vars(args)):
        predict_views = test_time_augmentation(predict, views)
        months, speed[views] = predict_splits(predict_views, splits, args.batch_size_eval)
        calibrations[views], tables[views] = calibrate_splits(splits, months, per_sex)
    told = tables[chosen_views(vars(args))]["val"]  # the months that predict.py reports
    counts, gain = fit_readings(splits["train"].table, told, per_sex)
    run.write_json(READINGS, {"labels": counts, "gain": gain})
    median = float(splits["train"].table["boneage"].median())
    metrics, predictions = {}, {}
    for views, by_split in tables.items():
        for split, table in by_split.items():
            name, table = split + views_suffix(views), with_readings(table, counts)
            write_csv(run.path(predictions_name(name)), table)
            predictions[name] = table
            # coverage is measured on films that the intervals were not fitted to
            half_widths = calibrations[views]["half_width"] if split.startswith("test") else None
            metrics[name] = evaluate_with_intervals(table, half_widths, median)
    films_per_second = speed[1]["test"]
    metrics["model"] = {"parameters": model.count_params(), "films_per_second": films_per_second}
    run.write_json(CALIBRATION, {views_key(views): part for views, part in calibrations.items()})
    return metrics, predictions


def predict_splits(predict, splits, batch_size):
    """Return months, and films a second, of all splits except training: {split: ...} each."""
    months, speed = {}, {}
    for split, part in splits.items():
        if split != "train":
            started = time.perf_counter()
            months[split] = predict_months(predict, part.pixels, part.table["sex"], batch_size)
            speed[split] = len(part) / (time.perf_counter() - started)
            check_finite(months[split])
    return months, speed


def warm_up(predict, part, batch_size):
    """Predict one batch of the shape that a split's batches have, so that the time of later batches
    doesn't include compilation."""
    first = np.arange(min(batch_size, len(part)))
    predict_months(predict, part.pixels.keep(first), part.table["sex"][first], batch_size)


def calibrate_splits(splits, months, per_sex):
    """Fit the calibration to the validation films. Returns (calibration, corrected predictions by
    split). Validation films are corrected by lines fitted without them."""
    tables = {split: label_predictions(splits[split].table, m) for split, m in months.items()}
    calibration, judged = fit_calibration(tables["val"], per_sex)
    lines = calibration["lines"]
    corrected = {
        split: label_predictions(table, correct_months(months[split], table["sex"], lines))
        for split, table in tables.items()
    }
    corrected["val"] = judged
    if lines and "val_clahe" in tables:
        corrected["val_clahe"] = cross_fit(tables["val"], per_sex, copies=tables["val_clahe"])
    return calibration, corrected
