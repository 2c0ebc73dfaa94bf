"""A head to other programs: copies that exporters can read, and Blender's exporters with the right settings."""
