"""Contrast-limited adaptive histogram equalisation (CLAHE) of validation and test films."""
