"""Pixels to faces: where they are, their landmarks, and the square around each head.

In: pixels of a photo. Out: boxes (``detect.detect_faces``), 478 landmarks of each (``landmarks.find_landmarks``), and
the head cut out (``crop.crop_head``). Pictures are resampled by ``sampling.Window``.
"""
