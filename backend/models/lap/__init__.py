"""LAP: one canonical depth and albedo of a person from all photos, and the light and view of each photo."""
