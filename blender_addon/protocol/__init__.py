"""What the backend's messages mean, in plain Python and numpy: nothing here needs Blender."""
