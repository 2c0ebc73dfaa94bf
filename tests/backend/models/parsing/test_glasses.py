"""Glasses of photos: drawn frames are found again, in size, place, thickness and colour."""

from dataclasses import replace

import numpy as np
import pytest

from backend.exchange.asset_mesh import neutral_light, portrait_camera
from backend.geometry.template import load_template, triangles_from_quads
from backend.models.parsing.glasses import (
    _USUAL,
    Glasses,
    GlassesShape,
    GlassesView,
    find_glasses,
    glasses_mesh,
    glasses_view,
    seat_of,
)
from backend.photos.collection import FaceClass
from backend.rendering.color import srgb_bytes
from backend.rendering.render import render_linear

SKIN, FRAME = (0.5, 0.3, 0.22), (0.03, 0.04, 0.12)
WORN = replace(
    _USUAL, width=0.056, height=0.042, power=3.4, low=0.006, tilt=0.16, rim=0.004, rim_below=0.003, temple=0.004, depth=0.003
)


def _head() -> np.ndarray:
    template = load_template()
    return template.vertices[: template.head.vertex_stop].astype(np.float64)


def _view(shape: GlassesShape, yaw: float, spread: float = 0.0) -> GlassesView:
    """A drawn photo of the mean head with glasses; its label is ``spread`` metres too thick, as nets make them."""
    template, head = load_template(), _head()
    faces = triangles_from_quads(template.quads[: template.head.face_stop])
    seat = seat_of(template, template.vertices)
    camera, light = portrait_camera(head, yaw, (400, 500)), neutral_light(yaw)
    pictures = []
    for thicker in (0.0, spread):
        thick = replace(shape, rim=shape.rim + thicker, rim_below=shape.rim_below + thicker)
        (points, quads), _ = glasses_mesh(Glasses(thick, seat, np.zeros(3), np.zeros(3), 0.0, np.zeros(0)), head)
        both, all_faces = np.concatenate([head, points]), np.concatenate([faces, triangles_from_quads(quads) + len(head)])
        colours = np.concatenate([np.tile(SKIN, (len(head), 1)), np.tile(FRAME, (len(points), 1))])
        pictures.append(render_linear(both, all_faces, camera, colors=colours, light=light))
        mask = render_linear(both, all_faces, camera, colors=(colours == FRAME).astype(np.float32)).color[..., 0] > 0.5
    labels = np.where(mask, FaceClass.GLASSES, FaceClass.SKIN).astype(np.uint8)
    pixels = srgb_bytes(pictures[0].color + 0.4 * (1 - pictures[0].alpha[..., None]))
    return glasses_view(pixels, labels, camera, light)


def test_drawn_glasses_are_found_again():
    template, head = load_template(), _head()
    found = find_glasses([_view(WORN, yaw, 0.002) for yaw in (-25.0, 5.0, 35.0)], seat_of(template, template.vertices), head)
    print(found)
    for name, most in {"width": 0.002, "height": 0.002, "low": 0.0015, "rim": 0.0013, "rim_below": 0.0013, "spread": 0.0015}.items():
        assert getattr(found.shape, name) == pytest.approx(getattr(WORN, name), abs=most), name
    assert found.apart.max() < 0.002
    assert found.frame_colour == pytest.approx(FRAME, abs=0.05)
    assert found.lens_opacity < 0.1


def test_frames_are_closed_and_clear_of_the_face():
    pass
