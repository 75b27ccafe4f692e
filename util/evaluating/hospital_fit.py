"""Fit a calibration of a run to the films of another hospital (evaluate.py --calibrate)."""

from pathlib import Path

from util.errors import UserError
from util.evaluating.evaluated_films import read_films_to_evaluate
from util.evaluating.label_checks import check_labels, check_lines, note_no_better
from util.files import check_place
from util.held_out import held_out
from util.metrics import judge_readings
from util.oddities import oddity_notes
from util.predicting import hospital
from util.predicting.calibration import fit_calibration
from util.predicting.canvases import all_set_right, oddities_of, on_first_canvas, pixels_of
from util.predicting.intervals import coverage_of
from util.predicting.members import hashes_of
from util.predicting.readings import with_readings
from util.runs import A_COPY, how_to_predict
from util.tables.left_out import report_left_out
from util.tables.readers import agreement_of, format_readers, several_ages_notes


def calibrate(ensemble, args):
    """Fit a calibration of a run to the films of another hospital, and store it under a name."""
    (folder,) = ensemble.folders
    name = args.name or Path(args.calibrate).stem
    path = hospital.new_calibration_path(folder, name)
    check_place(path, A_COPY)
    [by_canvas] = read_films_to_evaluate([ensemble], args)
    films = on_first_canvas(by_canvas)
    report_left_out(films.left_out)
    hospital.check_enough_films(films.table, ensemble.sees_sex, args.calibrate)
    new = check_new_films(ensemble, by_canvas, args)
    ensemble.load(args.runtime, args.precision)
    predictions, _ = ensemble.predict_labelled(by_canvas, args.batch_size_eval)
    check_labels(predictions, args.calibrate)
    calibration, judged = fit_calibration(predictions, ensemble.sees_sex, always=True)
    check_lines(calibration["lines"], args.calibrate)
    if ensemble.label_counts:
        calibration["readings"] = judge_readings(with_readings(judged, ensemble.label_counts))
    calibration |= agreement_of(films.table, args.readers, judged["predicted"])
    models = hashes_of(ensemble.members)
    hospital.store_calibration(path, calibration, models, films.table, ensemble.views)
    print(hospital.format_named(calibration, path))
    note_no_better(judged, args.calibrate)
    if args.readers is not None:
        print(format_readers(calibration["reader_agreement"]))
    half_width = ensemble.calibration["half_width"]
    held = coverage_of(predictions[new], half_width) if half_width else None
    if held:
        print(hospital.format_held(held))
    if hospital.worth_using(calibration, held):
        print(how_to_predict(folder, ensemble.sees_sex, f" --calibration {name}"))
    else:
        print("next: predict without it, or calibrate on more films: no gain is clear")


def check_new_films(ensemble, by_canvas, args):
    """Print notes on films to calibrate on, and return which of them, a mask `(n,)`, the ensemble
    has not learned from. UserError when these are less than half."""
    films, pixels = on_first_canvas(by_canvas), pixels_of(by_canvas)
    new, notes = held_out(ensemble, films.table)
    if new.mean() < 0.5:
        raise UserError(
            f"the model has learned from {(~new).sum()} of these {len(new)} films: a calibration would "
            f"promise too much ({args.calibrate}). "
            + ("Leave them out by --held_out, or name others." if new.any() else "Name others.")
        )
    notes += oddity_notes(oddities_of(pixels), all_set_right(pixels))
    notes += several_ages_notes(films.left_out, args.readers)
    for note in ensemble.notes + notes:
        print(f"note: {note}")
    return new
