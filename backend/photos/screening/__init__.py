"""Choose the photos to use.

In: crop, labels, quality and identity of each face (``candidate.FaceCandidate``). Out, from ``screen.screen``: the
faces of one person, best first, a reason for each rejected photo. ``corrections``: the user's corrections.
"""
