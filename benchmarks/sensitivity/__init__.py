"""Sensitivity of the figures of ``evaluate`` to the constants set by hand.

``python -m benchmarks.sensitivity texture|photos|hair --people DIR``: every constant is halved and doubled, and the
figures of a photo that was left out are measured again. A line per constant gives the largest change of each figure's
mean over the people. ``constants`` changes dataclass fields and module constants alike, ``frame`` measures, and
``texture``, ``photos`` and ``hair`` hold the tables.
"""
