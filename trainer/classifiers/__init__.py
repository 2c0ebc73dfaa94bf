"""Learn small classifiers and statistics for the photo stage from labelled portraits: glasses, beards, identity,
landmarks. Results are tables in ``assets/parsing`` and ``assets/photos``.
"""
