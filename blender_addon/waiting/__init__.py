"""Heads waiting on disk for a scene, so that a requested head survives the end of its Blender (docs/files.md)."""
