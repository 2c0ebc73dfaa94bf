"""The Blender extension: photos to a rigged head, from the 3D View's sidebar.

It runs in Blender's Python and knows only the wire protocol (docs/protocol.md) of the backend, which is a process of
its own. Nothing here imports ``bpy`` before ``register``, so that the build command runs without Blender.
"""

from __future__ import annotations


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled: stops what runs, leaves nothing behind."""
    from . import registration

    registration.unregister()
