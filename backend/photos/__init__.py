"""Find the faces of one person in photo files.

In: files or images in memory. Out, from ``collect.collect``: a ``collection.PhotoCollection`` of head crops with
landmarks and labels, best first, and the reason for every photo that is not used. Steps: ``reading``, ``faces``,
``backend.models.registry`` with ``regions``, ``screening``.
"""
