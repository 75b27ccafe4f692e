"""The pictures of a run: its history, augmented films, its errors, and where an attention model
looks."""

import numpy as np

from preprocessing import make_batch
from util.augmentation import chosen_ranges
from util.backbones import ATTENTION
from util.film_plots import end_of, plot_attention, plot_contact_sheet
from util.finished_runs import load_run_model
from util.plots import cut_title, path_of, plot_errors, plot_history
from util.tta import chosen_views, views_suffix, views_title

LONGEST_ID = 10  # letters
LARGEST = 24  # films whose errors are shown


def draw_run(run, history, predictions, splits, args):
    """Save all pictures of a run, given its history, its predictions {name: frame}, its films
    {split: Films} and its options."""
    ranges = chosen_ranges(args)
    sheet = make_batch(splits["train"], 32, args.seed, epoch=0, step=0, ranges=ranges)
    labels = film_labels(sheet.ids, sheet.sex[:, 0], sheet.boneage[:, 0])
    plot_history(history, run.path("plots", "history.png"))
    plot_contact_sheet(
        sheet.image[..., 0], labels, run.path("plots", "augmented_films.png"), "augmented films"
    )
    views = chosen_views(vars(args))  # those that the run reports
    errors = predictions["test" + views_suffix(views)]
    title = f"{run.folder.resolve().name} on test{views_title(views)}"
    plot_errors(run.path("plots"), errors, "test", title)
    draw_largest_errors(run.path("plots"), errors, splits["test"].pixels, "test", title)
    if args.model_type in ATTENTION:
        draw_attention(run, splits["test"])


def draw_largest_errors(folder, predictions, pixels, name, title):
    """Save the films with the largest errors as the model sees them, the largest error first;
    returns the path.

    These are hands that the model can't read, or films whose labels may be wrong. Row i of `pixels`
    belongs to row i of the predictions. For `name` and `title` see `plot_errors`.
    """
    rows = np.argsort(-predictions["error"].abs().to_numpy(), kind="stable")[:LARGEST]
    films = predictions.iloc[rows]
    labels = [
        f"{label}\n{error:+.1f}"
        for label, error in zip(
            film_labels(films["id"], films["sex"], films["boneage"]), films["error"], strict=True
        )
    ]
    return plot_contact_sheet(
        pixels[rows],
        labels,
        path_of(folder, "largest_errors", name),
        f"{cut_title(title)}\nlargest errors: label, and predicted - label (months)",
    )


def draw_attention(run, films):
    """Save where the run's attention model looks on four films, from the youngest to the oldest."""
    from modeling_advanced import attention_map

    by_age = films.table["boneage"].sort_values(kind="stable").index
    rows = by_age[np.linspace(0, len(by_age) - 1, min(4, len(by_age))).astype(int)]
    table, images = films.table.loc[rows], films.pixels[rows]
    sex = table["sex"].to_numpy(np.float32)[:, None]
    maps = attention_map(load_run_model(run), images[..., None], sex)
    labels = film_labels(table["id"], table["sex"], table["boneage"])
    path = run.path("plots", "attention.png")
    return plot_attention(images, maps, labels, path)


def film_labels(ids, sexes, months):
    """Return the labels above films in a picture, such as "1437 F 136 mo"; of a long id only the
    end is shown. A film mixed from two has the sex that weighs more."""
    return [
        f"{end_of(id, LONGEST_ID)} {'M' if sex > 0.5 else 'F'} {boneage:.0f} mo"
        for id, sex, boneage in zip(ids, sexes, months, strict=True)
    ]
