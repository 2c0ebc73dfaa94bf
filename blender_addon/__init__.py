"""The Blender extension: photos to a rigged head, from the 3D View's sidebar.

It runs in Blender's own Python and talks to the backend, a separate process, over the wire protocol (docs/protocol.md).
``bpy`` is imported only inside ``register``, so the build command runs without Blender.
"""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled: stops whatever runs and unregisters everything."""
    from . import registration

    registration.unregister()
