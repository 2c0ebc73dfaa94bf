"""Photo files to pixels, in bounded time and memory.

In: files or bytes (``source.PhotoSource``) and what reading may cost. Out, by ``read.read_photos``: upright sRGB pixels
and the focal length of each (``source.DecodedPhoto``), or a sentence that says why a file is not read.
"""
