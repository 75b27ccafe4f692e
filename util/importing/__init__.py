"""Labelled films of any source into a data folder."""
