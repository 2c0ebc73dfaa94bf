"""Heads that wait for a scene, on the disk: one that an artist waited for outlives its Blender (docs/files.md)."""
