"""File names of a reconstruction. Imports nothing, so that it loads at once."""

FILE_NAMES: tuple[str, ...] = (
    "face.glb",
    "face.obj",
    "face.mtl",
    "albedo.png",
    "eyes.png",
    "hair.json",
    "hair.png",
    "normal.png",
    "displacement.png",
    "wrinkles_brows_up.png",
    "wrinkles_brows_down.png",
    "wrinkles_squint.png",
    "wrinkles_sneer.png",
    "wrinkles_smile.png",
    "wrinkles_stretch.png",
    "wrinkles_pucker.png",
    "wrinkles_jaw_open.png",
    "wrinkles_chin.png",
    "detail.json",
    "cameras.json",
    "expressions.json",
    "preview.png",
    "report.json",
)
"""All files that a reconstruction writes; it touches no other file in the folder."""
