"""The terminal's side of ``python -m backend``: arguments in, progress, tables, sentences and exit codes out."""
