"""Command line of ``python -m backend``: arguments in, progress, tables, sentences and exit codes out."""
