"""A head with neck and shoulders in a window, from Blender's default scene, with a backend that runs: it arrives, its
head is seen whole, and it has no seam, shut and open. Told by ``in_blender.py``; needs the photos alone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector
from mathutils.kdtree import KDTree
from points_in_blender import head_from_photos, of_part

Story = Generator[float, None, None]
SEAM_METRES = 1e-5
EDGE_METRES = 1e-3


def evaluated_vertices(obj: bpy.types.Object) -> np.ndarray:
    """(V, 3) vertices in the world with keys, before any subdivision."""
    shown = [modifier for modifier in obj.modifiers if modifier.show_viewport]
    for modifier in shown:
        modifier.show_viewport = False
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    flat = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", flat)
    matrix = np.array(obj.matrix_world)
    for modifier in shown:
        modifier.show_viewport = True
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def rings(obj: bpy.types.Object) -> list[np.ndarray]:
    """The open edges of a mesh as loops: arrays of vertices."""
    counts: dict[tuple[int, int], int] = {}
    for face in obj.data.polygons:
        for edge in face.edge_keys:
            counts[edge] = counts.get(edge, 0) + 1
    neighbours: dict[int, list[int]] = {}
    for (a, b), count in counts.items():
        if count == 1:
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
    found = []
    while neighbours:
        loop, waiting = set(), [next(iter(neighbours))]
        while waiting:
            vertex = waiting.pop()
            loop.add(vertex)
            waiting += [other for other in neighbours.pop(vertex, []) if other not in loop]
        found.append(np.array(sorted(loop)))
    return found


def seam() -> float:
    """Largest distance, metres, of the bust's upper ring from the head's vertices."""
    head, bust = evaluated_vertices(of_part("head")), evaluated_vertices(of_part("bust"))
    upper = max(rings(of_part("bust")), key=lambda ring: bust[ring, 2].mean())
    tree = KDTree(len(head))
    for number, point in enumerate(head):
        tree.insert(point, number)
    tree.balance()
    return max(tree.find(bust[vertex])[2] for vertex in upper)


def story(tools: Any) -> Story:
    yield from head_from_photos(tools, bust=True)
    yield 2.0
    tools.screenshot("1_arrived")
    bust = evaluated_vertices(of_part("bust"))
    lower = min(rings(of_part("bust")), key=lambda ring: bust[ring, 2].mean())
    level = float(np.ptp(bust[lower, 2]))
    tools.figures["lower_edge_mm"] = round(1000 * level, 3)
    assert level < EDGE_METRES, "it ends with a level edge"
    tools.figures["seam_mm"] = round(1000 * seam(), 4)
    assert seam() < SEAM_METRES
    cube = tools.box(bpy.data.objects["Cube"])
    for part in ("head", "bust"):
        low, high = tools.box(of_part(part))
        assert any(low > cube[1]) or any(high < cube[0]), f"{part} stands beside the cube"
    _, area, region = tools.view3d()
    view = area.spaces.active.region_3d
    places = [
        location_3d_to_region_2d(region, view, of_part(part).matrix_world @ Vector(corner))
        for part in ("head",)
        for corner in of_part(part).bound_box
    ]
    assert all(p is not None and 0 <= p.x <= region.width and 0 <= p.y <= region.height for p in places), "in view"
    bars = {other.type: other for other in area.regions if other.width > 1}
    left, right = bars["TOOLS"].width, bars["UI"].x - region.x
    tools.figures["free_pixels"] = [int(min(p.x for p in places)) - left, right - int(max(p.x for p in places))]
    assert all(left <= p.x <= right for p in places), "and not below toolbar or sidebar"
    tall = max(p.y for p in places) - min(p.y for p in places)
    tools.figures["share_of_the_view"] = round(tall / region.height, 2)
    assert tall > 0.5 * region.height, "and not far away"

    keys = of_part("head").data.shape_keys.key_blocks
    keys["jawOpen"].value = keys["mouthLeft"].value = 1.0
    yield 1.5
    assert seam() < SEAM_METRES, "keys that move the neck open no seam"
    tools.screenshot("2_jaw_open")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert tools.heads() == 0 and not [obj for obj in bpy.data.objects if "likeness_part" in obj], "undo takes all away"
