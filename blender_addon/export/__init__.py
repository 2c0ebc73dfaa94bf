"""Export of a head: copies without modifiers, and Blender's exporters with the right settings."""
