"""Convert a head in the scene to the neutral vertices that the backend expects."""

from __future__ import annotations

import bpy
import numpy as np

from ..errors import AddonError
from ..protocol.names import PART_NAMES
from .coordinates import neutral_coordinates, origin_of
from .frames import to_head
from .tags import part_object


def neutral_head(collection: bpy.types.Collection) -> bytes:
    """``<f4`` (V, 3): rest shapes of all parts in the order of ``PART_NAMES``, head frame, metres.

    Raises ``AddonError`` ``no_head`` if a part is missing.
    """
    shapes = []
    for part in PART_NAMES:
        obj = part_object(collection, part)
        if obj is None:
            raise AddonError(
                f"The head {collection.name} has no {part} any more.",
                "Choose another head as Person, or none to solve the face from the pictures.",
                "no_head",
            )
        shapes.append(to_head(neutral_coordinates(obj.data) + origin_of(obj.data)))
    return np.concatenate(shapes).astype("<f4").tobytes()
