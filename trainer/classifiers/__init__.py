"""Small classifiers and statistics of portraits for the photo stage: glasses, beards, identity, landmarks.

Labelled portraits go in; tables in ``assets/parsing`` and ``assets/photos`` come out.
"""
