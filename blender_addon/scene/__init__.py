"""Build a rigged head in the scene from a decoded result. Everything here runs on Blender's main thread."""
