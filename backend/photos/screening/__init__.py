"""Which photos are used.

In: of each face its crop, labels, quality, identity (``candidate.FaceCandidate``). Out, by ``screen.screen``: the faces
of one person, best first, and a reason for each photo left out. ``corrections``: what a person says of the photos.
"""
