"""The landmark net: points of the face's surface, each with how sure it is.

A picture with a detected face goes in (``apply.SurfaceLandmarker``); ``SurfaceLandmarks`` come out.
"""
