"""Make every file of ``assets/``: ``python -m trainer all``.

The input is the table of steps (``table.py``), the output the files of ``assets/``, or the table on the terminal.
"""
