"""preview.png and the mesh behind it."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made import front_camera, globe, make_asset
from lash_strip import asset_with_strip
from plain_photo import plain_photo

from backend.exchange import asset_mesh
from backend.exchange import preview as drawing
from backend.exchange.face_asset import FaceAsset
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template, load_template
from backend.photos.collection import PhotoFace
from protocol.names import ARKIT_INDEX


def preview(name: str = "a photo.jpg", expression: np.ndarray | None = None) -> drawing.PhotoPreview:
    pixels = np.full((400, 320, 3), (20, 40, 200), np.uint8)
    weights = np.zeros(52) if expression is None else expression
    return drawing.PhotoPreview(name, pixels, front_camera(), weights, asset_mesh.neutral_light())


def test_any_name_that_a_file_may_have_is_drawn(hand_made_asset: FaceAsset) -> None:
    """A line break ended the whole run after all the work."""
    bald = replace(hand_made_asset, hair_strands=None)
    without = drawing.preview_picture(bald, [preview("")])
    for name, shown in (
        ("me.jpg", "me.jpg"),
        ("Zoë.jpg", "Zoe.jpg"),
        ("two\nlines\t.jpg", "3: two?lines?.jpg"),
        ("照片.jpg", "3: ??.jpg"),
        ("\x1b[31m\u202egpj.\U0001f600", "3: ?[31m?gpj.?"),
        ("\udce9.jpg", "3: ?.jpg"),
    ):
        assert drawing.drawable(name, 3) == shown
        assert shown[0] != "3" or (drawing.preview_picture(bald, [preview(name)]) != without).any(), shown


@pytest.mark.parametrize("count", [0, 1, drawing.MOST_PHOTOS + 3])
def test_a_picture_for_any_number_of_photos(hand_made_asset: FaceAsset, count: int) -> None:
    photos = [preview(f"a very long name {'x' * n} äöü 照片.jpg") for n in range(count)]
    picture = drawing.preview_picture(replace(hand_made_asset, hair_strands=None), photos)
    assert picture.dtype == np.uint8 and picture.shape[1:] == (drawing.WIDTH, 3)


def test_the_fit_covers_the_head_and_leaves_the_photo_around_it(hand_made_asset: FaceAsset) -> None:
    photo, fit = drawing.photo_and_fit(
        asset_mesh.asset_mesh(replace(hand_made_asset, hair_strands=None)), preview(), 240
    )
    assert photo.shape == fit.shape == (240, 240, 3)
    changed = (photo != fit).any(axis=-1)
    assert not changed[:8].any() and not changed[-8:].any()
    assert changed[110:130, 110:130].all()  # the head is in the middle


def fitted_to(asset: FaceAsset, brightness: float, face: PhotoFace) -> drawing.PhotoPreview:
    """The preview of one photo whose fit took the skin for a grey of ``brightness`` (linear)."""
    neutral = np.concatenate([part.vertices for part in asset.parts])
    head = len(asset.parts[0].vertices)
    photo = FittedPhoto("a photo.jpg", front_camera(), np.zeros(52), neutral, asset_mesh.neutral_light(), 1.0, 0.1)
    albedo = np.full((head, 3), brightness, np.float32)
    fitted = FittedFace(np.zeros(1), neutral, albedo, (photo,))
    (shown,) = drawing.photo_previews(fitted, (face,), drawing.tone_change(asset, albedo, np.ones(head, np.float32)))
    return shown


def photo_face(source_size: tuple[int, int], crop_scale: float, crop_offset: tuple[float, float]) -> PhotoFace:
    return plain_photo(
        (320, 400),
        name="a photo.jpg",
        source_size=source_size,
        pixels=np.full((400, 320, 3), (20, 40, 200), np.uint8),
        crop_scale=crop_scale,
        crop_offset=crop_offset,
    )


def test_what_was_filled_in_around_a_photo_is_not_shown(hand_made_asset: FaceAsset) -> None:
    """A head crop that reaches 40 pixels over the photo's upper edge and 80 over its right one, at half size."""
    shown = fitted_to(hand_made_asset, 0.2, photo_face((900, 1200), 0.5, (420.0, -80.0)))
    assert shown.inside == (0, 40, 240, 400)
    picture, _ = drawing.photo_and_fit(
        asset_mesh.asset_mesh(hand_made_asset), replace(shown, camera=front_camera(distance=0.3)), 160
    )
    # The tile shows rows 40 to 360 and all columns, so a quarter of it at the right is not photo.
    assert (picture[4:, :112] == (20, 40, 200)).all()
    assert (picture[:, 125:].max() < 40).all()


def test_the_fit_is_as_bright_as_the_photo_whatever_tone_the_texture_has(hand_made_asset: FaceAsset) -> None:
    """Half the albedo needs twice the light: the overlay must not change."""
    face = photo_face((320, 400), 1.0, (0.0, 0.0))
    overlays = []
    for value in (188, 137):  # linear 0.503 and 0.251
        asset = replace(hand_made_asset, albedo=np.full((64, 64, 3), value, np.uint8), hair_strands=None)
        shown = fitted_to(asset, 0.4, face)
        overlays.append(drawing.photo_and_fit(asset_mesh.asset_mesh(asset), shown, 160)[1].astype(int))
    assert np.abs(overlays[0] - overlays[1]).max() <= 1


def test_the_mesh_poses_as_the_parts_do(hand_made_asset: FaceAsset) -> None:
    mesh = asset_mesh.asset_mesh(hand_made_asset)
    expression = np.zeros(52)
    expression[ARKIT_INDEX["jawOpen"]] = 0.5
    expression[ARKIT_INDEX["tongueOut"]] = 1.0
    expected = []
    for part in hand_made_asset.parts:
        moved = part.vertices.copy()
        for name, weight in (("jawOpen", 0.5), ("tongueOut", 1.0)):
            if name in part.keys:
                moved += weight * part.keys[name]
        expected.append(moved)
    # The parts of the hand-made asset have triangles at their poles, so they are not subdivided.
    np.testing.assert_allclose(mesh.positions(expression), np.concatenate(expected), atol=1e-7)


def test_a_texture_is_seen_where_its_vertex_is(hand_made_asset: FaceAsset) -> None:
    """The upper half of every chart red, the lower half green: the upper hemisphere must be red."""
    albedo = np.zeros((64, 64, 3), np.uint8)
    albedo[:32, :, 0] = 255
    albedo[32:, :, 1] = 255
    mesh = asset_mesh.asset_mesh(replace(hand_made_asset, albedo=albedo, hair_strands=None))
    camera = asset_mesh.portrait_camera(mesh.positions(), 0.0, (200, 200))
    picture = mesh.render(camera, asset_mesh.neutral_light(), (0, 0, 0)).astype(int)
    assert picture[40, 100, 0] > 100 > picture[40, 100, 1]
    assert picture[160, 100, 1] > 100 > picture[160, 100, 0]


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 90.0])
def test_a_portrait_shows_the_whole_head_from_the_side_that_it_says(hand_made_asset: FaceAsset, yaw: float) -> None:
    points = hand_made_asset.parts[0].vertices.astype(float)
    camera = asset_mesh.portrait_camera(points, yaw, (300, 400))
    seen = camera.project(points)
    assert (seen[:, :2] >= 0).all() and (seen[:, :2] <= [300, 400]).all() and (seen[:, 2] > 0).all()
    nose = camera.project(np.array([[0.0, 0.0, 0.1]]))[0, 0] - 150  # the person's left is at the picture's right
    assert np.sign(round(nose)) == -np.sign(yaw)


def test_lashes_darken_what_is_behind_them_by_their_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    asset, row = asset_with_strip(0.4, False)
    monkeypatch.setattr("backend.exchange.asset_mesh.lash_alpha", lambda _: (1.0 - row / row.max()).astype(np.float32))
    asset = replace(asset, albedo=np.full((8, 8, 3), 230, np.uint8), hair_strands=None)  # opaque lashes hide hair
    mesh = asset_mesh.asset_mesh(asset)
    camera = asset_mesh.portrait_camera(asset.part("lashes").vertices, 0.0, (120, 80))
    opaque = replace(mesh, alpha=np.ones_like(mesh.alpha))
    none = replace(mesh, faces=mesh.faces[mesh.alpha[mesh.faces].min(axis=1) == 1])
    none = replace(none, uv_faces=mesh.uv_faces[mesh.alpha[mesh.faces].min(axis=1) == 1])
    dim = 0.1 * asset_mesh.neutral_light()
    with_alpha, solid, without = (m.render(camera, dim, (255, 255, 255)).astype(int) for m in (mesh, opaque, none))
    covered = (solid != without).any(axis=-1)
    assert covered.sum() > 500
    between = (with_alpha >= np.minimum(solid, without) - 1) & (with_alpha <= np.maximum(solid, without) + 1)
    assert between.all()
    assert (with_alpha != without).any(axis=-1)[covered].mean() > 0.5
    assert (with_alpha != solid).any(axis=-1)[covered].mean() > 0.5


def test_eyes_reflect_the_lamp_and_nothing_else_does(hand_made_asset: FaceAsset) -> None:
    mesh = asset_mesh.asset_mesh(hand_made_asset)
    camera = asset_mesh.portrait_camera(mesh.positions(), 0.0, (200, 240))
    lamp = np.array([-0.45, 0.55, 0.70])
    without, reflecting = (
        mesh.render(camera, asset_mesh.neutral_light(), (0, 0, 0), lamp=one).astype(int) for one in (None, lamp)
    )
    added = (reflecting - without).max(axis=-1)
    assert added.min() == 0 and added.max() > 60
    rows, columns = np.nonzero(added > 10)
    found = np.stack([columns, rows], axis=-1) + 0.5
    eyes = np.stack([mesh.positions()[mesh.eye == eye].mean(axis=0) for eye in (1, 2)])
    places = camera.project(eyes)[:, :2]
    radius = 0.006 * camera.intrinsics[0, 0] / 1.2
    away = np.linalg.norm(found[:, None] - places, axis=-1).min(axis=1)
    assert away.max() < 1.5 * radius
    behind = asset_mesh.portrait_camera(mesh.positions(), 180.0, (200, 240))
    np.testing.assert_array_equal(
        mesh.render(behind, asset_mesh.neutral_light(), (0, 0, 0)),
        mesh.render(behind, asset_mesh.neutral_light(), (0, 0, 0), lamp=lamp),
    )


def test_an_open_mouth_is_dark_inside() -> None:
    """The head's own shape and keys, all parts white: only the mouth's depth can darken them."""
    template = load_template()
    keys = {"jawOpen": template.expressions[ARKIT_INDEX["jawOpen"]]}
    parts = []
    for name in ("head", "teeth_upper", "teeth_lower"):
        own = template.parts[name]
        place = slice(own.vertex_start, own.vertex_stop)
        quads = template.quads[own.face_start : own.face_stop] - own.vertex_start
        count = own.vertex_stop - own.vertex_start
        parts.append(
            replace(
                globe(name),
                vertices=template.vertices[place],
                quads=quads,
                uv=np.zeros((count, 2), np.float32),
                uv_quads=quads,
                keys={key: moved[place] for key, moved in keys.items()},
            )
        )
    asset = replace(make_asset(), parts=tuple(parts), hair_strands=None, detail=None)
    mesh = asset_mesh.asset_mesh(replace(asset, albedo=np.full((8, 8, 3), 128, np.uint8)))
    open_wide = np.zeros(52, np.float32)
    open_wide[ARKIT_INDEX["jawOpen"]] = 0.7
    light = np.zeros((9, 3))
    light[0] = 1.0
    camera = asset_mesh.portrait_camera(mesh.positions(), 0.0, (240, 300))
    lit = mesh.render(camera, light, (0, 0, 0), open_wide).astype(int)[..., 0]
    middle = camera.project(0.5 * (lips(template, 13, open_wide) + lips(template, 14, open_wide)))[0, :2].astype(int)
    cheek = camera.project(lips(template, 50, open_wide))[0, :2].astype(int)
    assert lit[middle[1], middle[0]] < 0.5 * lit[cheek[1], cheek[0]]
    shut = mesh.render(camera, light, (0, 0, 0)).astype(int)[..., 0]
    np.testing.assert_allclose(shut[cheek[1], cheek[0]], lit[cheek[1], cheek[0]], atol=2)


def lips(template: Template, landmark: int, expression: np.ndarray) -> np.ndarray:
    """(1, 3) a landmark of the mean face under an expression."""
    posed = template.vertices + np.tensordot(expression, template.expressions, 1)
    return template.landmarks478.positions(posed)[[landmark]]
