"""Photo files to the faces of one person.

In: files or pictures in memory. Out, by ``collect.collect``: a ``collection.PhotoCollection``, head crops with
landmarks and labels, best first, and for every photo that is not used the reason. On the way: ``reading``, ``faces``,
``backend.models.parsing`` with ``regions``, ``screening``.
"""
