"""Batch reconstruction of many people: a folder with one photo folder per person, the table, and the run."""
