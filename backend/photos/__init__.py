"""Photo files to faces: reading, finding faces and landmarks, screening.

``collect.collect`` takes files or pictures in memory. A ``PhotoCollection`` comes out: head crops with landmarks and
labels, best first, and for every photo that is not used the reason why.
"""
