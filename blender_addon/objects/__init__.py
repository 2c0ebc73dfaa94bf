"""Blender objects of a head: how they are found, their meshes, actions on their keys."""
