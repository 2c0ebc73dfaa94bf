"""Face parsing: which pixel of a head crop is skin, hair, glasses and so on.

A crop with landmarks goes in (``apply.look_at_face``); labels of ``FaceClass`` and what is worn come out.
"""
