"""Expressions from rig to rig: names, mappings, clips, actions, deformation transfer. Uses only numpy and ``bpy``."""
