"""What the backend and the Blender extension share: names, and readers of files that both read.

Needs numpy and the standard library only, and imports nothing else of this repository. The extension's zip carries its
files in ``blender_addon/shared``.
"""
