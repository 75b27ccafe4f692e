"""Bone age against the age of the child, in SDs of the Brush Foundation study."""

import numpy as np
import pandas as pd
import pytest

from util.predicting.growth import bone_age_sd, sd_score


@pytest.mark.parametrize(
    ("age", "sex", "sd"),
    [(3, 1, 0.69), (3, 0, 0.72), (120, 1, 9.79), (120, 0, 11.73), (192, 0, 7.31), (204, 1, 13.05)],
)
def test_the_sd_is_that_of_the_table(age, sex, sd):
    assert bone_age_sd(age, sex) == sd


def test_between_two_ages_it_lies_on_the_line():
    assert bone_age_sd(66, 1) == pytest.approx((8.79 + 9.17) / 2)


@pytest.mark.parametrize(
    ("age", "sex"), [(2.9, 1), (204.1, 1), (192.1, 0), (np.nan, 1), (120, np.nan), (120, pd.NA)]
)
def test_there_is_none_outside_the_table(age, sex):
    assert np.isnan(bone_age_sd(age, sex))


def test_the_score_is_above_zero_where_bones_are_ahead():
    assert sd_score(120 + 2 * 9.79, 120, 1) == pytest.approx(2)
    assert sd_score(120 - 11.73, 120, 0) == pytest.approx(-1)
