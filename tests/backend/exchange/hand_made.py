"""A small head made by hand, so that the tests of files wait for no other package."""

from dataclasses import replace

import numpy as np

from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, height_map
from backend.exchange.face_asset import AssetPhoto, EyeDressing, FaceAsset, FacePart
from backend.hair.hair_strands import HairStrands
from backend.rendering.camera import Camera
from protocol.names import ARKIT_NAMES, EYE_PART_NAMES, PART_NAMES

PART_CENTRES = {
    "head": (0.0, 0.0, 0.0),
    "eye_left": (0.03, 0.03, 0.08),
    "eye_right": (-0.03, 0.03, 0.08),
    "teeth_upper": (0.0, -0.03, 0.07),
    "teeth_lower": (0.0, -0.04, 0.07),
    "tongue": (0.0, -0.035, 0.06),
    "lashes": (0.0, 0.04, 0.1),
}
PART_RADII = {"head": 0.1, "lashes": 0.01}
PART_KEYS = {
    "head": ARKIT_NAMES,
    "eye_left": tuple(n for n in ARKIT_NAMES if n.startswith("eyeLook") and n.endswith("Left")),
    "eye_right": tuple(n for n in ARKIT_NAMES if n.startswith("eyeLook") and n.endswith("Right")),
    "teeth_upper": (),
    "teeth_lower": ("jawForward", "jawLeft", "jawRight", "jawOpen"),
    "tongue": ("jawOpen", "tongueOut"),
    "lashes": ("eyeBlinkLeft", "eyeBlinkRight"),
}


def globe(name: str, rows: int = 8, columns: int = 12) -> FacePart:
    """A sphere in quads with a seam at the back and triangles at the poles; its texture chart is one cell of a row."""
    centre = np.array(PART_CENTRES[name])
    radius = PART_RADII.get(name, 0.015)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[1:-1]
    longitude = np.arange(columns) * 2 * np.pi / columns - np.pi  # the seam is at the back
    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    ring = np.stack([np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)], -1).reshape(-1, 3)
    vertices = np.concatenate([[[0.0, -1.0, 0.0]], ring, [[0.0, 1.0, 0.0]]])
    south, north = 0, len(vertices) - 1

    def vertex(row: int, column: int) -> int:
        return 1 + row * columns + column % columns

    def texel(row: int, column: int) -> int:
        return row * (columns + 1) + column

    quads, uv_quads = [], []
    for column in range(columns):
        first, last = vertex(0, column), vertex(rows - 2, column)
        quads.append([south, vertex(0, column + 1), first, first])
        uv_quads.append([texel(0, column), texel(1, column + 1), texel(1, column), texel(1, column)])
        for row in range(rows - 2):
            corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
            quads.append([vertex(*corner) for corner in corners])
            uv_quads.append([texel(r + 1, c) for r, c in corners])
        quads.append([last, vertex(rows - 2, column + 1), north, north])
        uv_quads.append(
            [texel(rows - 1, column), texel(rows - 1, column + 1), texel(rows, column), texel(rows, column)]
        )
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    square = np.stack([u, v], -1).reshape(-1, 2)
    cell = PART_NAMES.index(name)
    uv = np.stack([(cell + 0.05 + 0.9 * square[:, 0]) / len(PART_NAMES), 0.05 + 0.9 * square[:, 1]], -1)
    keys = {}
    for key in PART_KEYS[name]:
        index = ARKIT_NAMES.index(key)
        offset = np.zeros_like(vertices)
        moved = (np.arange(len(vertices)) + index) % 5 == 0
        offset[moved] = [0.001 * (index + 1) / 52, -0.002, 0.0005]
        keys[key] = offset.astype(np.float32)
    return FacePart(
        name=name,
        vertices=(centre + radius * vertices).astype(np.float32),
        quads=np.array(quads, np.int32),
        uv=uv.astype(np.float32),
        uv_quads=np.array(uv_quads, np.int32),
        uv_makehuman=(square * 0.5).astype(np.float32),
        uv_makehuman_quads=np.array(uv_quads, np.int32),
        hm08_vertex=np.arange(len(vertices), dtype=np.int32) + 100 * cell,
        keys=keys,
    )


def front_camera(size: tuple[int, int] = (320, 400), distance: float = 0.8) -> Camera:
    """A camera in front of the face that looks along -z of the head frame."""
    focal = 1.2 * max(size)
    camera_from_head = np.diag([1.0, -1.0, -1.0, 1.0])
    camera_from_head[2, 3] = distance
    intrinsics = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1.0]])
    return Camera(intrinsics, camera_from_head, size)


def spikes(rows: int = 8, columns: int = 12) -> HairStrands:
    """Hair that stands on the upper half of the sphere ``head``, a strand on each face's first corner."""
    head = globe("head", rows, columns)
    corners, places = np.unique(head.quads[:, 0], return_index=True)
    roots = head.vertices[corners]
    kept = roots[:, 1] > 0.03
    roots, uv = roots[kept], head.uv[head.uv_quads[places[kept], 0]]
    guides = len(roots)
    lengths = np.linspace(1.0, 1.5, 6)[:, None]
    return HairStrands(
        points=(roots[:, None] * lengths).astype(np.float32),
        root_uv=uv.astype(np.float32),
        width=np.full(guides, 0.01, np.float32),
        root_colour=np.full((guides, 3), 0.05, np.float32),
        tip_colour=np.linspace(0.1, 0.3, 3 * guides).reshape(guides, 3).astype(np.float32),
        hair_radius=4e-5,
        style="quiff",
        parameters={"top": 0.05, "up": 0.75},
    )


def waves(size: int = 16) -> SkinDetail:
    """Relief: waves from left to right that are always there, and one row a group of keys."""
    row, column = np.mgrid[:size, :size]
    wrinkles = {name: height_map(1.0 * (row == number), 4.0) for number, name in enumerate(KEY_GROUPS)}
    return SkinDetail(height_map(0.3 * np.sin(column), 4.0), wrinkles)


def make_asset() -> FaceAsset:
    """Seven spheres under ``PART_NAMES`` with their keys, a gradient as albedo, two photos and hair."""
    ramp = np.linspace(40, 220, 64).astype(np.uint8)
    albedo = np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90, np.uint8)], -1)
    expression = np.zeros(52)
    expression[ARKIT_NAMES.index("jawOpen")] = 0.75
    landmarks = np.random.default_rng(7).uniform(0, 200, (478, 4)).astype(np.float32)
    places = np.ones((11, 3), np.float32)
    photos = (
        AssetPhoto("one.jpg", front_camera(), expression, 1.25, 0.04, landmarks, places),
        AssetPhoto("zwei äöü.png", front_camera((200, 300), 0.5), np.zeros(52), 2.5, 0.06, landmarks[::-1], places),
    )
    report = {"seconds.fit": 1.5, "seconds.total": 2.5, "peak_rss_mb": 512.0, "photos": []}
    return FaceAsset(tuple(globe(name) for name in PART_NAMES), albedo, photos, report, spikes())


def with_eyes(asset: FaceAsset) -> FaceAsset:
    """The asset with the eyes' surfaces and the skin's values, as every head has them on the wire."""
    uv = {part.name: np.zeros((len(part.vertices), 2), np.float32) for part in asset.parts[1:3]}
    surfaces = tuple(replace(globe("eye_left"), name=name) for name in EYE_PART_NAMES)
    values = np.linspace(0, 1, len(asset.parts[0].vertices), dtype=np.float32)
    eyes = EyeDressing(np.zeros((8, 16, 3), np.uint8), uv, surfaces)
    return replace(asset, eyes=eyes, mouth_inside=values, skin_roughness=values[::-1])
