"""Decoding of the backend's messages in plain Python and numpy; nothing here needs Blender."""
