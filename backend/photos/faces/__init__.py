"""Find faces in pixels: boxes, landmarks, and a square crop around each head.

In: pixels of a photo. Out: boxes (``detect.detect_faces``), 478 landmarks of each (``landmarks.find_landmarks``), and
the head crop (``crop.crop_head``). ``sampling.Window`` resamples images.
"""
