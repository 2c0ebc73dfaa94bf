"""From a decoded result to a rigged head in the scene. Everything here runs on Blender's main thread."""
