"""LAP: one canonical depth and albedo of a person out of all photos, and each photo's light and view.

Photos with landmarks go in (``apply.canonical_face``); a ``CanonicalFace`` comes out, from which the fit starts.
"""
