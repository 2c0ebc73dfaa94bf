"""Expressions from rig to rig: names, mappings, clips, actions, deformation transfer. Only numpy and ``bpy``."""
