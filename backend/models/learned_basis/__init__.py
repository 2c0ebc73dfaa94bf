"""The learned face model: linear bases of identity, expression and reflectance, and the encoder of their codes.

Photos with landmarks go in (``apply.encoded_face``); an ``EncodedFace`` comes out, from which the fit starts.
"""
