"""The films that evaluate.py judges runs on: those of a split, or of any table and folder."""

import numpy as np

from clahe.enhance import complete_clahe
from preprocessing import keep_copies, read_films, read_labelled_folder
from util.data_folder import split_paths
from util.errors import UserError, counted
from util.files import quote
from util.film_files import list_films
from util.held_out import held_out
from util.predicting.canvases import keep_read_on_all, on_first_canvas
from util.runs import changed_facts
from util.split_records import FILE_FACTS, split_facts
from util.splits import is_of_fold, load_trained_split
from util.tables.left_out import NO_ROW


def read_films_to_evaluate(ensembles, args):
    """Read the films that the options name. Returns a list with {canvas: Films} for each ensemble,
    the same films on each canvas; under --held_out only films that are new to all ensembles."""
    if args.csv or args.calibrate:
        films = read_other_films(ensembles, args)
    else:
        films = [keep_read_on_all(read_split_to_evaluate(each, args)) for each in ensembles]
    return [keep_held_out(part, ensembles) for part in films] if args.held_out else films


def read_other_films(ensembles, args):
    """Read the films of --csv or --calibrate, once for all ensembles; see
    `read_films_to_evaluate`."""
    csv = args.csv or args.calibrate
    usable, left_out = read_labelled_folder(
        csv,
        args.images,
        args.male_value,
        headers=True,
        readers=args.readers,
        match_by=args.match_by,
    )
    canvases = dict.fromkeys(canvas for each in ensembles for canvas in each.canvases)
    by_canvas = keep_read_on_all(
        {canvas: read_films(usable, left_out, *canvas, args.cache_dir) for canvas in canvases}
    )
    return [{canvas: by_canvas[canvas] for canvas in each.canvases} for each in ensembles]


def read_split_to_evaluate(ensemble, args):
    """Return the films of --split, as the runs had it, on each of their canvases."""
    trained = ensemble.members[0].options
    data_dir, split = args.data_dir or trained["data_dir"], args.split
    of_fold = is_of_fold(trained, split)
    if args.use_clahe_val_test and of_fold:
        raise UserError(
            "validation films of a fold have no CLAHE copies, as they are training films of others "
            "(--use_clahe_val_test). Leave it out, or evaluate --split test."
        )
    male_value = args.male_value
    if male_value is None and not args.data_dir:  # other tables may code sex differently
        male_value = trained["male_value"]
    reading = {"male_value": male_value, "cache_dir": args.cache_dir}
    check_split(data_dir, split)

    def read(clahe):
        return {
            canvas: load_trained_split(trained, data_dir, split, canvas, clahe=clahe, **reading)
            for canvas in ensemble.canvases
        }

    by_canvas = read(clahe=False)
    if of_fold or not args.data_dir:
        first = on_first_canvas(by_canvas)
        check_films_of_run(first, ensemble.members[0], data_dir, split, of_fold)
    if args.use_clahe_val_test:
        print("CLAHE: " + complete_clahe(data_dir, split, progress=True))
        copies = read(clahe=True)
        by_canvas = {canvas: keep_copies(copies[canvas], by_canvas[canvas]) for canvas in by_canvas}
    return by_canvas


def check_split(data_dir, split):
    """Raise UserError if a split's table or folder is missing, as where the data of a model that
    was shipped are elsewhere."""
    try:
        split_paths(data_dir, split)
    except UserError as error:
        raise UserError(
            f"{error} To evaluate on films of your own: --csv labels.csv --images films/."
        ) from None


def check_films_of_run(films, member, data_dir, split, of_fold):
    """Raise UserError if films are not those that a run had: its data has changed, or, `of_fold`,
    was divided into other folds. If they are other files with the same ids and labels, print a
    note."""
    known, now = member.config["data"][split], split_facts(films)
    if now["fingerprint"] != known["fingerprint"]:
        name = "--csv and --images" if of_fold else f"--data_dir {quote(data_dir)}"
        raise UserError(
            f"these {len(films)} films are not the {split} films of the run, which had {known['n']} "
            f"({data_dir}). To evaluate on them as they are, name them: {name}."
        )
    if changed_facts(now, known).keys() & FILE_FACTS:
        print(f"note: the {split} films are not the same files as in the run ({data_dir})")


def keep_held_out(by_canvas, compared):
    """Return {canvas: Films} with only the films that none of the `compared` ensembles has learned
    from; the others go to `left_out`. Raises UserError if no film remains."""
    table = on_first_canvas(by_canvas).table
    new = np.all([held_out(ensemble, table)[0] for ensemble in compared], axis=0)
    if not new.any():
        raise UserError(
            f"a model has learned from all of {len(new)} films (--held_out). Name others."
        )
    reason = "a model has learned from it"
    return {canvas: part.leave_out(~new, reason) for canvas, part in by_canvas.items()}


def flow_of(films, folder):
    """Return how rows became the evaluated Films, ready for JSON: how many rows there were, how
    many films are evaluated, and how many rows were left out for each reason. With the `folder`
    that was searched for films, also how many it holds, and how many of these have no row."""
    reasons = films.left_out["reason"].value_counts()
    left_out = {reason: int(n) for reason, n in reasons.items() if reason != NO_ROW}
    flow = {"rows": len(films) + sum(left_out.values()), "evaluated": len(films)}
    flow["left_out"] = left_out
    if folder:
        flow |= {"films": len(list_films(folder)), "without_row": int(reasons.get(NO_ROW, 0))}
    return flow


def format_flow(flow):
    """A flow in a line: "42 rows, 38 films: 33 evaluated; left out: 7 no file, 2 no usable age; 3
    films without a row"."""
    films = f", {counted(flow['films'], 'film')}" if "films" in flow else ""
    line = f"{counted(flow['rows'], 'row')}{films}: {flow['evaluated']} evaluated"
    if flow["left_out"]:
        line += "; left out: " + ", ".join(f"{n} {why}" for why, n in flow["left_out"].items())
    if flow.get("without_row"):
        line += f"; {counted(flow['without_row'], 'film')} without a row"
    return line


def flow_lines(metrics):
    """Return what the metrics of an evaluation tell of its films, a list of lines."""
    flow, learned = metrics["flow"], metrics["films"]["learned_from"]
    lines = [format_flow(flow)] if flow else []
    if learned is not None:
        films = counted(metrics["n"], "film")
        lines.append(f"the model is known to have learned from {learned} of {films}")
    return lines
