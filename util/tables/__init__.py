"""Labelled films from tables of any layout."""
