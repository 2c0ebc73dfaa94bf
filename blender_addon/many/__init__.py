"""Many people, one after the other: a folder with a folder of photos for each, the table, and the run."""
