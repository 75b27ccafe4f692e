"""The quality check of a data folder: its findings, and how they are reported."""
