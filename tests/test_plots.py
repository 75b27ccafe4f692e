"""Pictures are drawn, whatever the names of films and folders."""

import cv2
import numpy as np
import pandas as pd

from util import plots
from util.metrics import label_predictions


def test_pictures_take_any_name(tmp_path):
    """Two $ are a formula to matplotlib, and the name of a file has 255 bytes at most."""
    name = "US$_0_{x$" + 250 * "x"
    films = pd.DataFrame({"id": ["1", "2", "3"], "sex": [1, 0, 1], "boneage": [60.0, 90, 120]})
    predictions = label_predictions(films, np.array([70.0, 80, 130]))
    paths = plots.plot_errors(tmp_path, predictions, name)
    film = np.full((1, 8, 8), 128, np.uint8)
    paths.append(plots.plot_contact_sheet(film, [name[:9]], tmp_path / "sheet.png", name[:9]))
    assert all(cv2.imread(str(path)) is not None for path in paths)


def test_powers_of_ten_at_an_axis_stay_formulas(tmp_path):
    figure, axis = plots.subplots(figsize=(2, 2))
    axis.set(xscale="log", xlim=(1e-6, 1))
    plots.save(figure, tmp_path / "log.png")
    assert all(text.get_parse_math() for text in axis.get_xticklabels())
