"""Read photo files into pixels with limited time and memory.

In: files or bytes (``source.PhotoSource``) and resource limits. Out, from ``read.read_photos``: upright sRGB pixels and
focal length of each (``source.DecodedPhoto``), or a sentence that says why a file is not read.
"""
