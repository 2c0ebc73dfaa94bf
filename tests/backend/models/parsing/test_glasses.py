"""Glasses of photos: drawn frames are found again, in size, place, thickness and colour."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from backend.exchange.asset_mesh import neutral_light, portrait_camera
from backend.geometry.template import load_template, triangles_from_quads
from backend.models.parsing import glasses
from backend.photos.collection import FaceClass
from backend.rendering.color import srgb_bytes
from backend.rendering.render import render_linear

SKIN, FRAME = (0.5, 0.3, 0.22), (0.03, 0.04, 0.12)
WORN = replace(glasses._USUAL, width=0.056, height=0.042, power=3.4, low=0.006, distance=0.025)
WORN = replace(WORN, rim=0.004, rim_below=0.003, temple=0.004)


def _head() -> np.ndarray:
    template = load_template()
    return template.vertices[: template.head.vertex_stop].astype(np.float64)


def _view(
    shape: glasses.GlassesShape, yaw: float, through: tuple[float, ...] = (1.0,) * 3, within: int = FaceClass.EYES
) -> glasses.GlassesView:
    """A drawn photo of the mean head with glasses that are labelled 2 mm too thick, as nets make them, and ``within``
    as that; so much light comes ``through`` them."""
    template, head = load_template(), _head()
    faces = triangles_from_quads(template.quads[: template.head.face_stop])
    seat = glasses.seat_of(template, template.vertices)
    camera, light = portrait_camera(head, yaw, (400, 500)), neutral_light(yaw)
    pictures = []
    for thicker in (0.0, 0.002):
        thick = replace(shape, rim=shape.rim + thicker, rim_below=shape.rim_below + thicker)
        worn = glasses.Glasses(thick, seat, np.zeros(3), np.zeros(3), 0.0, np.zeros(0))
        (points, quads), _ = glasses.glasses_mesh(worn, head)
        both = np.concatenate([head, points])
        all_faces = np.concatenate([faces, triangles_from_quads(quads) + len(head)])
        colours = np.concatenate([np.tile(SKIN, (len(head), 1)), np.tile(FRAME, (len(points), 1))])
        pictures.append(render_linear(both, all_faces, camera, colors=colours, light=light))
        mask = render_linear(both, all_faces, camera, colors=(colours == FRAME).astype(np.float32)).color[..., 0] > 0.5
    lens = binary_fill_holes(mask)
    labels = np.where(mask, FaceClass.GLASSES, np.where(lens, within, FaceClass.SKIN)).astype(np.uint8)
    tinted = pictures[0].color * np.where(lens[..., None], np.float32(through), np.float32(1.0))
    pixels = srgb_bytes(tinted + 0.4 * (1 - pictures[0].alpha[..., None]))
    return glasses.glasses_view(pixels, labels, camera, light)


def test_drawn_glasses_are_found_again():
    template, head = load_template(), _head()
    views = {str(yaw): _view(WORN, yaw) for yaw in (-25.0, 5.0, 35.0)}
    found = glasses.find_glasses([0.9, 0.8, 0.7, 0.2], views, glasses.seat_of(template, template.vertices), head)
    assert found.to_report()["worn"] and found.to_report()["eyes_seen"] and found.probability == pytest.approx(0.65)
    shape = found.glasses.shape
    for name in ("width", "height", "low", "spread"):
        assert getattr(shape, name) == pytest.approx(getattr(WORN, name), abs=0.002), name
    assert (shape.rim, shape.rim_below) == pytest.approx((WORN.rim, WORN.rim_below), abs=0.001)
    assert found.glasses.apart.max() < 0.002
    assert found.glasses.frame_colour == pytest.approx(FRAME, abs=0.04)


def test_most_photos_must_show_them():
    template, views = load_template(), {"a": _view(WORN, 5.0)}
    seat = glasses.seat_of(template, template.vertices)
    found, face = glasses.find_glasses([0.7, 0.03], views, seat, _head()), object()  # one of two, and that not surely
    assert found.glasses is None and found.beside(face, views["a"].camera) is face  # as it is
    assert glasses.find_glasses([0.9], {}, seat, _head()).to_report() == {"worn": False, "probability": 0.9}


@pytest.mark.parametrize(
    ("through", "within"),
    [((0.02,) * 3, FaceClass.GLASSES), ((0.9, 0.5, 0.1), FaceClass.EYES), ((1.0,) * 3, FaceClass.SKIN)],
    ids=["dark", "tinted", "mirrors"],
)
def test_lenses_are_as_dark_and_tinted_as_they_are_and_hide_eyes_that_are_not_labelled(through, within):
    template, shown, dark = load_template(), _view(WORN, 5.0, through, within), within != FaceClass.EYES
    seat = glasses.seat_of(template, template.vertices)
    found = glasses.find_glasses([0.9], {"a": shown}, seat, _head())
    own = found.glasses
    assert found.to_report()["eyes_seen"] is not dark
    assert ("hide the eyes" in found.noted([{"name": "a", "reason": ""}])[0]["reason"]) is dark
    assert (own.shape.width, own.shape.height) == pytest.approx((WORN.width, WORN.height), abs=0.005)
    seen = own.lens_opacity * own.lens_colour / SKIN + 1.0 - own.lens_opacity  # of white skin behind
    assert seen == pytest.approx(through, abs=0.15)


def test_frame_and_lenses_are_quads_that_look_outwards_clear_of_the_face():
    template, head = load_template(), _head()
    seat = glasses.seat_of(template, template.vertices)
    found = glasses.find_glasses([0.9], {"a": _view(WORN, 5.0)}, seat, head).glasses
    frame, lenses = glasses.glasses_mesh(found, head)
    for points, quads in (frame, lenses):
        assert quads.max() < len(points) and (np.sort(quads, 1)[:, 1:] > np.sort(quads, 1)[:, :-1]).all()
    points, quads = frame
    pairs = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), 1)
    assert (np.unique(pairs, axis=0, return_counts=True)[1] == 2).all()  # closed
    a, b, c, d = (points[quads[:, k]] for k in range(4))
    assert (np.cross(c - a, d - b) * (a + c)).sum() > 0
    a, _, c, d = (lenses[0][lenses[1][:, k]] for k in range(4))
    assert np.cross(c - a, d - lenses[0][lenses[1][:, 1]])[:, 2].min() > 0
    ears = points[np.abs(points[:, 2] - head[:, 2].mean()) < 0.02]
    assert np.abs(ears[:, 0]).min() > 0.06
