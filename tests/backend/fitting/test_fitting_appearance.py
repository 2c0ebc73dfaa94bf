"""Light and albedo from renders whose light and albedo are known."""

import numpy as np
from plain_photo import plain_photo
from portrait_camera import portrait_camera

from backend.fitting.appearance import PosedPhoto, estimate_appearance
from backend.geometry.template import triangles_from_quads
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions

SIZE = 320


def camera_at(template, yaw: float) -> Camera:
    middle = template.landmarks68.positions(template.vertices).mean(0)
    return portrait_camera(middle, yaw, SIZE, SIZE / 1200.0, 1.0)


def photo_face(name: str, pixels: np.ndarray, labels: np.ndarray, monochrome: bool = False) -> PhotoFace:
    return plain_photo((SIZE, SIZE), name=name, pixels=pixels, labels=labels, monochrome=monochrome)


def render_people(template, albedo: np.ndarray, monochrome: bool = False) -> tuple[PosedPhoto, ...]:
    triangles = triangles_from_quads(template.quads)
    colors = np.full((len(template.vertices), 3), 0.4)
    colors[: template.head.vertex_stop] = albedo
    lamps = ([[0.5, 0.4, 0.77]], [[-0.7, 0.2, 0.69]], [[0.0, 0.8, 0.6]])
    photos = []
    for yaw, lamp, ambient in zip((0.0, 35.0, -35.0), lamps, (0.4, 0.5, 0.35), strict=True):
        direction = np.array(lamp) / np.linalg.norm(lamp)
        light = light_from_directions(direction, np.array([[0.7, 0.68, 0.66]]), ambient)
        camera = camera_at(template, yaw)
        pixels = render_linear(
            template.vertices, triangles, camera, colors=colors.astype(np.float32), light=light
        ).over((0, 200, 0))
        labels = np.where((pixels == [0, 200, 0]).all(-1), FaceClass.BACKGROUND, FaceClass.SKIN).astype(np.uint8)
        photos.append(PosedPhoto(photo_face(str(yaw), pixels, labels, monochrome), camera, template.vertices))
    return tuple(photos)


def on_face(template) -> np.ndarray:
    """(V_head,) bool, what all photos show."""
    return template.regions["face"][: template.head.vertex_stop] > 0.5


def estimate(template, photos: tuple[PosedPhoto, ...]):
    count = template.head.vertex_stop
    skin = template.regions["face"][:count]
    return estimate_appearance(photos, triangles_from_quads(template.quads), count, template.mirror[:count], skin)


def test_albedo_is_recovered_up_to_the_prior_on_its_level(template) -> None:
    count = template.head.vertex_stop
    truth = np.tile([0.45, 0.27, 0.19], (count, 1)) * (1.0 - 0.4 * template.regions["lips"][:count, None])
    found = estimate(template, render_people(template, truth))
    seen = on_face(template)
    ratio = found.albedo[seen] / truth[seen]
    level = np.median(ratio, axis=0)
    assert np.all((level > 0.6) & (level < 1.6)), level
    assert np.median(np.abs(ratio / level - 1.0)) < 0.06
    assert found.photometric_error.max() < 0.04


def test_good_first_lights_bring_the_albedo_nearer_in_one_round(template, monkeypatch) -> None:
    """Their brightness does not matter: that is the prior's to say."""
    count = template.head.vertex_stop
    triangles, skin = triangles_from_quads(template.quads), template.regions["face"][:count]
    darker = np.clip(1.0 - 0.6 * (template.vertices[:count, 0] > 0), 0, 1)[:, None]  # half the face: not to be light
    truth = np.array([0.45, 0.27, 0.19]) * darker
    photos = render_people(template, truth)[:1]
    lamp = np.array([[0.5, 0.4, 0.77]]) / np.linalg.norm([0.5, 0.4, 0.77])
    lights = (3.0 * light_from_directions(lamp, np.array([[0.7, 0.68, 0.66]]), 0.4),)
    monkeypatch.setattr("backend.fitting.appearance.ROUNDS", 1)
    errors = []
    for first in ((), lights):
        found = estimate_appearance(photos, triangles, count, template.mirror[:count], skin, first)
        ratio = np.log(found.albedo / truth)[on_face(template)]
        errors.append(np.abs(ratio - np.median(ratio, axis=0)).mean())
    assert errors[1] < 0.7 * errors[0]


def test_dark_and_light_skin_stay_apart(template) -> None:
    count = template.head.vertex_stop
    levels = []
    for tone in ([0.10, 0.055, 0.035], [0.60, 0.40, 0.31]):
        found = estimate(template, render_people(template, np.tile(tone, (count, 1))))
        levels.append(np.median(found.albedo[on_face(template)].mean(-1)))
    assert levels[1] > 2.0 * levels[0]


def test_no_green_from_the_background(template) -> None:
    count = template.head.vertex_stop
    found = estimate(template, render_people(template, np.tile([0.45, 0.27, 0.19], (count, 1))))
    assert (found.albedo[:, 1] < found.albedo[:, 0]).all()


def test_monochrome_photos_give_the_prior_hue(template) -> None:
    count = template.head.vertex_stop
    found = estimate(template, render_people(template, np.full((count, 3), 0.3), monochrome=True))
    red, green, blue = np.median(found.albedo[on_face(template)], axis=0)
    assert red > 1.3 * green > 1.3 * blue
