"""How far a bone age is from the child's age, in SDs of children of that age and sex.

The SDs are those of the Brush Foundation study (Greulich & Pyle, Radiographic Atlas of Skeletal
Development of the Hand and Wrist, 1959). By convention a bone age within 2 SDs is normal,
below that delayed, above it advanced.
"""

import numpy as np

MONTHS = (
    *(3, 6, 9, 12, 18, 24, 30, 36, 42, 48, 54, 60),
    *(72, 84, 96, 108, 120, 132, 144, 156, 168, 180, 192, 204),
)
SDS = {  # months, by sex (1 = male)
    1: (
        *(0.69, 1.13, 1.43, 1.97, 3.52, 3.92, 4.52, 5.08, 5.40, 6.66, 8.36, 8.79),
        *(9.17, 8.91, 9.10, 9.00, 9.79, 10.09, 10.38, 10.44, 10.72, 11.32, 12.86, 13.05),
    ),
    0: (
        *(0.72, 1.16, 1.36, 1.77, 3.49, 4.64, 5.37, 5.97, 7.48, 8.98, 10.73, 11.65),
        *(10.23, 9.64, 10.23, 10.74, 11.73, 11.94, 10.24, 10.67, 11.30, 9.23, 7.31),
    ),
}
LAST_AGE = {sex: MONTHS[len(sds) - 1] for sex, sds in SDS.items()}
KNOWN_AGES = f"from {MONTHS[0]} to {LAST_AGE[1]} months (girls {LAST_AGE[0]})"


def bone_age_sd(age, sex):
    """Return the SD in months of the bone ages of children of an age (months) and sex (1 = male).

    Linear between the ages of the table. NaN outside of them (3 to 204 months, girls 192) and for
    an unknown sex.
    """
    if sex not in SDS:
        return np.nan
    sds = SDS[sex]
    return float(np.interp(age, MONTHS[: len(sds)], sds, left=np.nan, right=np.nan))


def sd_score(boneage, age, sex):
    """Return how many SDs a bone age is above the child's age, both in months; NaN where
    `bone_age_sd` is."""
    return (boneage - age) / bone_age_sd(age, sex)
