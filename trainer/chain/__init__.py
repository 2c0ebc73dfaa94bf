"""How every file of ``assets/`` is made: ``python -m trainer all``.

In goes the table of steps (``table.py``); out come the files of ``assets/``, or the table on the terminal.
"""
