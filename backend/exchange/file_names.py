"""The files of a reconstruction. Imports nothing, so that whoever looks for them need not wait."""

FILE_NAMES: tuple[str, ...] = (
    "face.glb",
    "face.obj",
    "face.mtl",
    "albedo.png",
    "hair.json",
    "hair.png",
    "cameras.json",
    "expressions.json",
    "preview.png",
    "report.json",
)
"""Every file that a reconstruction writes; nothing else in the folder is ever touched."""
