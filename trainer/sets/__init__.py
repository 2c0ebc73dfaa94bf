"""Readers of the data sets that the papers train and measure on: ``python -m trainer data NAME FOLDER``."""
