"""Bust, eyes, glasses and single lashes in face.glb, face.obj, the preview and the message."""

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest
from hand_made import make_asset
from PIL import Image

from backend.exchange import asset_mesh
from backend.exchange.assemble import assemble, with_pictures, worn_glasses
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import write_obj
from backend.exchange.gltf import glb_bytes
from backend.exchange.preview import BACKDROP, PORTRAIT_SIZE, preview_picture
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from backend.models.parsing.glasses import _USUAL, Glasses, seat_of
from backend.rig.bust import load_bust
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result
from protocol.names import ARKIT_INDEX, EYE_PART_NAMES, GLASSES, PART_NAMES

FRAME = np.array([0.02, 0.03, 0.4])


def finished(picture: int, **options: bool) -> FaceAsset:
    """The template's mean face with grey pictures, its skin's ``picture`` pixels wide."""
    template = load_template()
    skin, eyes = np.full((picture, picture, 3), 150, np.uint8), np.full((32, 64, 3), 90, np.uint8)
    shape = assemble(template, template.vertices, template.expressions, **options)
    return with_pictures(replace(shape, report={"photos": []}), template, skin, eyes)


@pytest.fixture(scope="module")
def asset() -> FaceAsset:
    return finished(256, with_shoulders=True)


@pytest.fixture(scope="module")
def bare() -> FaceAsset:
    """Without shoulders."""
    return finished(64)


def bytes_of(gltf: gl.GLTF2, view: int) -> bytes:
    at = gltf.bufferViews[view]
    return gltf.binary_blob()[at.byteOffset : at.byteOffset + at.byteLength]


def picture_of(gltf: gl.GLTF2, texture: gl.TextureInfo) -> np.ndarray:
    image = gltf.images[gltf.textures[texture.index].source]
    return np.asarray(Image.open(io.BytesIO(bytes_of(gltf, image.bufferView))))


def test_the_message_has_it_behind_all_else(asset: FaceAsset) -> None:
    message = encode_face(asset)
    header = json.loads(json.dumps(message.header))
    again = decode_result(header, message.buffers)
    bust = again.parts[-1]
    assert bust.name == "bust" and "jawOpen" in bust.key_names
    np.testing.assert_array_equal(bust.vertices, asset.bust.vertices)
    header["bust"] = header["parts"][0]
    with pytest.raises(AddonError, match="its bust is not one"):
        decode_result(header, message.buffers)


def test_a_head_without_one_says_so(asset: FaceAsset) -> None:
    message = encode_face(replace(asset, bust=None))
    assert message.header["bust"] is None
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert "bust" not in [part.name for part in again.parts]


def test_gltf_has_it_as_a_node_in_the_heads_skin(asset: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(asset))
    meshes = {node.name: gltf.meshes[node.mesh] for node in gltf.nodes if node.mesh is not None}
    head, bust = meshes["head"], meshes["bust"]
    assert bust.primitives[0].material == head.primitives[0].material
    assert bust.extras["targetNames"] == list(asset.bust.keys)


@pytest.mark.parametrize("shoulders", [True, False])
def test_the_chin_shades_the_neck_and_nothing_else(asset: FaceAsset, shoulders: bool) -> None:
    """In pictures without cast shadows, and as the occlusion of glTF: a jaw is seen beside its own neck."""
    template, asset = load_template(), asset if shoulders else replace(asset, bust=None)
    lit = asset_mesh.shade_below_chin(asset)
    neck = template.regions["neck"][: template.head.vertex_stop] > 0.5
    below = neck & (template.vertices[: len(neck), 2] > 0.03)
    assert 0.3 < lit["head"][below].min() < 0.92
    assert (lit["head"][template.regions["forehead"][: len(neck)] > 0.5] > 0.99).all()
    if shoulders:
        np.testing.assert_array_equal(lit["bust"][: len(load_bust().rim)], lit["head"][load_bust().rim])
        assert np.median(lit["bust"]) > 0.9
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(asset))
    skin = next(material for material in gltf.materials if material.name == "skin")
    assert skin.occlusionTexture.index == skin.pbrMetallicRoughness.metallicRoughnessTexture.index
    red = picture_of(gltf, skin.occlusionTexture)[..., 0]
    assert red.min() < 240 and np.median(red) == 255


def test_obj_closes_the_neck(asset: FaceAsset, tmp_path: Path) -> None:
    write_obj(asset, tmp_path)
    points: dict[str, set[tuple[str, ...]]] = {}
    name = ""
    for line in (tmp_path / "face.obj").read_text().splitlines():
        if line.startswith("o "):
            name = line[2:]
        elif line.startswith("v "):
            points.setdefault(name, set()).add(tuple(line.split()[1:]))
    assert len(points["head"] & points["bust"]) >= 2 * 42  # the rim, subdivided once on both sides


def test_the_preview_stands_on_it(asset: FaceAsset) -> None:
    """The bust was in all files, and the preview showed a head with a cut neck."""
    height, width = PORTRAIT_SIZE[1], PORTRAIT_SIZE[0]
    for shown, skin in ((asset, True), (replace(asset, bust=None), False)):
        front = preview_picture(shown, [])[:height, width : 2 * width].astype(int)
        low = front[int(0.85 * height), [int(0.2 * width), int(0.8 * width)]]  # beside the neck
        assert (np.abs(low - BACKDROP).max(axis=1) > 10).all() == skin


def test_the_message_has_the_seven_parts_and_the_eyes_beside(bare: FaceAsset) -> None:
    message = encode_face(bare)
    assert [part["name"] for part in message.header["parts"]] == list(PART_NAMES)  # as older extensions want it
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert [part.name for part in again.parts] == [*PART_NAMES, *EYE_PART_NAMES]
    assert again.eyes.picture_png is not None
    for name, uv in bare.eyes.uv.items():
        assert np.array_equal(again.eyes.uv[name], uv)
    cornea = next(part for part in again.parts if part.name == "cornea_left")
    assert "eyeLookUpLeft" in cornea.key_names and "jawOpen" not in cornea.key_names


def test_eyes_have_a_picture_of_their_own_in_gltf_and_clear_corneas(bare: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(bare))
    material_of = {mesh.name: gltf.materials[mesh.primitives[0].material] for mesh in gltf.meshes}
    assert set(material_of) == {*PART_NAMES, *EYE_PART_NAMES}

    def picture(name: str) -> str | None:
        texture = material_of[name].pbrMetallicRoughness.baseColorTexture
        return None if texture is None else gltf.images[gltf.textures[texture.index].source].name

    assert picture("eye_left") == picture("eye_right") == "eyes"
    assert picture("head") == picture("teeth_upper") == "albedo"
    assert picture("cornea_left") is None and material_of["cornea_left"].alphaMode == gl.BLEND
    assert material_of["cornea_left"].pbrMetallicRoughness.baseColorFactor[3] < 0.2
    assert material_of["caruncles"].alphaMode == gl.OPAQUE


def test_obj_names_the_eyes_picture(bare: FaceAsset, tmp_path: Path) -> None:
    write_obj(bare, tmp_path)
    materials = dict(
        (block.splitlines()[0], block) for block in (tmp_path / "face.mtl").read_text().split("newmtl ")[1:]
    )
    assert "map_Kd eyes.png" in materials["eye_left"] and "map_Kd albedo.png" in materials["head"]
    assert "map_Kd" not in materials["cornea_left"] and "\nd 0.12\n" in materials["cornea_left"]
    assert (tmp_path / "face.obj").read_text().count("\no ") == len(PART_NAMES) + len(EYE_PART_NAMES)


def with_glasses(asset: FaceAsset, opacity: float = 0.05) -> FaceAsset:
    """The template's mean face with blue-framed glasses."""
    template = load_template()
    shape = replace(_USUAL, distance=0.024, rim=0.003, rim_below=0.002)
    found = Glasses(shape, seat_of(template, template.vertices), FRAME, np.full(3, 0.02), opacity, np.zeros(0))
    return replace(asset, glasses=worn_glasses(found, template, template.vertices, np.ones(3)))


def test_gltf_has_a_frame_and_clear_lenses_that_no_key_moves(bare: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(with_glasses(bare)))
    worn = {mesh.name: mesh.primitives[0] for mesh in gltf.meshes if mesh.name in GLASSES}
    assert set(worn) == set(GLASSES) <= {node.name for node in gltf.nodes}
    assert not any(primitive.targets for primitive in worn.values())
    frame, lens = (gltf.materials[worn[name].material] for name in GLASSES)
    assert frame.pbrMetallicRoughness.baseColorFactor == pytest.approx([*FRAME, 1.0]) and frame.alphaMode == gl.OPAQUE
    assert lens.pbrMetallicRoughness.baseColorFactor[3] == pytest.approx(0.05) and lens.alphaMode == gl.BLEND


def test_obj_has_both_objects(bare: FaceAsset, tmp_path: Path) -> None:
    write_obj(with_glasses(bare), tmp_path)
    assert all(f"\no {name}\n" in (tmp_path / "face.obj").read_text() for name in GLASSES)
    assert "newmtl lenses" in (tmp_path / "face.mtl").read_text()


def test_the_message_arrives_with_their_looks(bare: FaceAsset) -> None:
    message = encode_face(with_glasses(bare))
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert tuple(part.name for part in again.parts[-2:]) == GLASSES
    assert again.looks["glasses"] == pytest.approx((*FRAME, 1.0)) and again.looks["lenses"][3] == pytest.approx(0.05)
    assert not decode_result(json.loads(json.dumps((plain := encode_face(bare)).header)), plain.buffers).looks
    for field, value in (("parts", []), ("frame_colour", [0.1, 0.2]), ("lens_opacity", 2.0)):
        header = json.loads(json.dumps(message.header))
        header["glasses"][field] = value
        with pytest.raises(AddonError):
            decode_result(header, message.buffers)


def test_renders_show_them_in_front_of_the_face_and_still(bare: FaceAsset) -> None:
    camera, light = (asset_mesh.portrait_camera(bare.parts[0].vertices, 0.0, (240, 300)), asset_mesh.neutral_light())
    smile = np.zeros(52)
    smile[ARKIT_INDEX["jawOpen"]] = 1.0

    def render(asset: FaceAsset, expression: np.ndarray | None = None) -> np.ndarray:
        return asset_mesh.asset_mesh(asset).render(camera, light, (60, 60, 60), expression).astype(int)

    face, worn, dark = render(bare), render(with_glasses(bare)), render(with_glasses(bare, 0.9))
    blue = (worn[..., 2] - worn[..., 0]) > 40
    assert 300 < blue.sum() < 3000
    rows, columns = np.nonzero(blue)
    assert np.abs(render(with_glasses(bare), smile) - worn)[blue].mean() < 1.0
    outside = np.ones(blue.shape, bool)
    outside[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = False
    assert np.array_equal(face[outside], worn[outside])
    assert np.abs(worn - face)[~outside].max(-1).mean() < np.abs(dark - face)[~outside].max(-1).mean() / 2


def test_hairs_are_single_and_thin_out_towards_their_tips() -> None:
    opacity = asset_mesh.lash_picture()[::-1, :, 3].astype(float) / 255  # from below
    assert opacity.shape == (512, 1024)
    for half, hairs, thin in ((opacity[:256], 62, 90), (opacity[256:], 120, 150)):
        root, middle = half[12] > 0.5, half[thin] > 0.5
        assert 0.5 * hairs < np.diff(root.astype(int)).clip(0).sum() <= hairs  # some stand before others
        assert 0.1 < root.mean() < 0.5 and 0 < middle.mean() < 0.7 * root.mean()
        assert half[:3].max() == half[-8:].max() == 0.0  # nothing of the other half is filtered in
    assert (
        len(np.unique(asset_mesh.lash_picture()[..., :3].reshape(-1, 3), axis=0)) == 1
    )  # no other colour at a hair's rim


def test_alpha_falls_from_the_lids_to_the_tips_and_lower_lashes_are_thinner(bare: FaceAsset) -> None:
    alpha, up = asset_mesh.lash_alpha(bare), asset_mesh.lash_positions(bare)[:, 1]
    for edge, strongest in ((0.0, 0.45), (0.5, 1.0)):
        strip = (up >= edge) & (up < edge + 0.5)
        rows = np.linspace(edge, edge + 0.5, 5)
        means = [alpha[strip & (up >= low) & (up <= high)].mean() for low, high in pairwise(rows)]
        assert alpha[strip].max() == np.float32(strongest) and alpha[strip].min() == 0.0
        assert (np.diff(means) < 0).all()


def test_all_lashes_of_a_face_have_their_place_and_both_eyes_are_alike(bare: FaceAsset) -> None:
    places, points = asset_mesh.lash_positions(bare), bare.part("lashes").vertices
    assert places.min() >= 0 and places.max() <= 1
    mirrored = np.linalg.norm(points[:, None] - points[None] * [-1, 1, 1], axis=-1).argmin(axis=1)
    np.testing.assert_allclose(places, places[mirrored], atol=2e-3)
    upper, middle = places[:, 1] > 0.5, bare.part("eye_left").vertices[:, 1].mean()
    assert points[upper, 1].mean() > middle > points[~upper, 1].mean()


def test_they_go_over_the_wire(bare: FaceAsset) -> None:
    message = encode_face(bare)
    header = json.loads(json.dumps(message.header))
    again = decode_result(header, message.buffers)
    np.testing.assert_array_equal(again.lashes.places, asset_mesh.lash_positions(bare))
    assert encode_face(replace(bare, albedo=None)).header["lashes"] is None
    far = [np.full_like(again.lashes.places, np.nan).tobytes() if entry["name"] == "lashes.places" else buffer
           for entry, buffer in zip(header["buffers"], message.buffers, strict=True)]  # fmt: skip
    with pytest.raises(AddonError, match="lashes"):
        decode_result(header, far)


def test_the_gltf_has_single_hairs(bare: FaceAsset) -> None:
    gltf = gl.GLTF2().load_from_bytes(glb_bytes(bare))
    primitive = next(mesh for mesh in gltf.meshes if mesh.name == "lashes").primitives[0]
    material = gltf.materials[primitive.material]
    assert material.alphaMode == gl.BLEND and material.doubleSided and primitive.attributes.COLOR_0 is None
    shown = picture_of(gltf, material.pbrMetallicRoughness.baseColorTexture)
    np.testing.assert_array_equal(shown, asset_mesh.lash_picture())
    uv = np.frombuffer(bytes_of(gltf, gltf.accessors[primitive.attributes.TEXCOORD_0].bufferView), "<f4").reshape(-1, 2)
    expected = asset_mesh.lash_positions(bare) * [1, -1] + [0, 1]
    np.testing.assert_allclose(np.unique(uv, axis=0), np.unique(expected.astype(np.float32), axis=0), atol=1e-6)


def test_lashes_that_are_not_the_templates_are_opaque_strips() -> None:
    assert (asset_mesh.lash_alpha(make_asset()) == 1).all()
    assert asset_mesh.lash_positions(make_asset()) is None and encode_face(make_asset()).header["lashes"] is None
