"""The graph face model: codes of identity and expression to a head, by convolutions on its mesh.

Photos, or a known shape (``codes.codes_of_shape``), go in; codes, and the head that they stand for, come out.
"""
