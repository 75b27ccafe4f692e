"""Runs of many backbones, one after the other or on Ray."""
