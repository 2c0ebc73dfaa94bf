"""Tiny made-up copies of the sets' formats, written from synthetic people whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from backend.fitting.scan import head_topology
from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from protocol.similarity import fit_similarity
from trainer.measures.estimate import as_estimate
from trainer.methods.lap.data import LapPeopleConfig
from trainer.people.source import PeopleBatch, PeopleConfig
from trainer.sets.scans import write_obj

CPU = torch.device("cpu")
PEOPLE, PHOTOS, SIDE = 2, 2, 256
MM = 1000.0


@dataclass(frozen=True)
class Drawn:
    """Photographs of made-up people: pictures (N, S, S, 3) uint8, iBUG's landmarks (N, 68, 3): pixels and depth in
    pixels towards the camera, yaw (N,) degrees."""

    people: PeopleBatch
    pictures: np.ndarray
    marks: np.ndarray
    yaw: np.ndarray


@cache
def drawn() -> Drawn:
    """``PEOPLE`` people with ``PHOTOS`` photographs each."""
    config = PeopleConfig(size=SIDE, seed=4711, photos=PHOTOS, framing="roomy", depth=True, albedo=True)
    people = config.build().batch(range(PEOPLE), CPU)
    pictures = (people.images.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    marks, yaws = [], []
    for row in range(len(pictures)):
        pose, lens = people.camera_from_head[row].double().numpy(), people.intrinsics[row].double().numpy()
        points = load_template().landmarks68.positions(people.vertices[row].double().numpy())
        camera = points @ pose[:3, :3].T + pose[:3, 3]
        pixels = camera @ lens.T
        depth = -(camera[:, 2] - camera[:, 2].mean()) * lens[0, 0] / camera[:, 2].mean()
        marks.append(np.column_stack([pixels[:, :2] / pixels[:, 2:], depth]))
        forward = pose[:3, 2]
        yaws.append(np.degrees(np.arctan2(forward[0], -forward[2])))
    return Drawn(people, pictures, np.array(marks), np.array(yaws))


def write(path: Path, picture: np.ndarray) -> None:
    """Write a picture, RGB or one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture, [cv2.IMWRITE_JPEG_QUALITY, 97])


def head(row: int, neutral: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A person's skin: vertices in metres, triangles, the seven points, the vertices nearest to iBUG's landmarks."""
    people = drawn().people
    cage = (people.neutral if neutral else people.vertices)[row].double().numpy()
    estimate = as_estimate(cage)
    marks = load_template().landmarks68.positions(cage)
    nearest = np.linalg.norm(estimate.vertices[:, None] - marks[None], axis=-1).argmin(0)
    return estimate.vertices, estimate.faces, estimate.seven, estimate.vertices[nearest]


def people(root: Path) -> None:
    for row, picture in enumerate(drawn().pictures):
        write(root / f"person {row // PHOTOS}" / f"{row}.jpg", picture)


def celeba(root: Path) -> None:
    lines = [f"{row + 1:06d}.jpg {row // PHOTOS + 10}" for row in range(len(drawn().pictures))]
    for line, picture in zip(lines, drawn().pictures, strict=True):
        write(root / "img_align_celeba" / line.split()[0], picture)
        write(root / "img_align_celeba_png" / f"{Path(line.split()[0]).stem}.png", picture)
    (root / "identity_CelebA.txt").write_text("\n".join([*lines, "000099.jpg 99"]))
    split = [*(f"{line.split()[0]} 0" for line in lines), "000099.jpg 2"]
    (root / "list_eval_partition.txt").write_text("\n".join(split))


def voxceleb(root: Path) -> None:
    clip = root / "id10001" / "abc" / "00001.avi"
    clip.parent.mkdir(parents=True)
    film = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 25, (SIDE, SIDE))
    for number in range(8):
        film.write(np.ascontiguousarray(drawn().pictures[number // 4][..., ::-1]))
    film.release()
    for number in range(5):
        write(
            root / "unzippedFaces" / "A.J._Buckley" / "1.6" / "xyz" / f"{number:05d}.jpg",
            drawn().pictures[PHOTOS + number % PHOTOS],
        )


def aflw2000(root: Path) -> None:
    for row, picture in enumerate(drawn().pictures):
        write(root / f"image{row:05d}.jpg", picture)
        angles = np.radians([[0.0, drawn().yaw[row], 0.0, 0.0, 0.0, 0.0, 1.0]])
        savemat(root / f"image{row:05d}.mat", {"Pose_Para": angles, "pt3d_68": drawn().marks[row].T})


@cache
def masked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A face of another topology: vertices of our level-1 head that a mask shows (N, 3), triangles, and the matrix from
    our head's cage to the vertices."""
    topology = head_topology(load_template())
    shown = topology.matrix @ topology.skin_weights(face=1.0, ears=1.0, neck=1.0) > 0.5
    kept = topology.fine_triangles[shown[topology.fine_triangles].all(1)][::-1]
    used, triangles = np.unique(kept, return_inverse=True)
    matrix = topology.matrix[used]
    return matrix @ load_template().vertices[: matrix.shape[1]], triangles.reshape(-1, 3), matrix


FACE_MODES, MICRO = 40, 1e6
"""Modes of the made-up face model, and units per metre of BFM."""


def face_model(root: Path) -> None:
    """As face3d's loader reads it: interleaved columns, micrometres, the first vertex is 1, a mean expression apart."""
    mean, triangles, matrix = masked()
    template = load_template()
    count = matrix.shape[1]
    identity, expression = template.identity_modes[:FACE_MODES, :count], template.expressions[:, :count]
    columns = [np.stack([(matrix @ mode).ravel() for mode in part], 1) * MICRO for part in (identity, expression)]
    model = {
        "shapeMU": (mean - [0, 0.7, 0.01]).reshape(-1, 1) * MICRO,
        "expMU": np.tile([0, 0, 0.01 * MICRO], len(mean)).reshape(-1, 1),
        "shapePC": columns[0],
        "expPC": columns[1],
        "tri": triangles.T[::-1] + 1,
    }
    savemat(root / "BFM.mat", {"model": model})


def flame(root: Path) -> None:
    vertices, triangles, matrix = masked()
    write_obj(root / "head_template.obj", vertices, triangles)
    for row in range(PEOPLE):
        neutral = drawn().people.neutral[row * PHOTOS, : matrix.shape[1]].double().numpy()
        write_obj(root / f"person{row}" / "neutral.obj", matrix @ neutral, triangles)


def w300_lp(root: Path) -> None:
    """As 3DDFA's and face3d's loaders read it: ``s R v + t`` from the lower left, MATLAB's pixels, radians."""
    people, template = drawn().people, load_template()
    head = template.head.vertex_stop
    modes = template.identity_modes[:FACE_MODES, :head].reshape(FACE_MODES, -1)
    for row, picture in enumerate(drawn().pictures):
        offsets = (people.neutral[row].double().numpy() - template.vertices)[:head]
        shape = np.linalg.lstsq(modes.T, offsets.ravel(), rcond=None)[0]
        points = template.landmarks68.positions(people.vertices[row].double().numpy()) - [0, 0.7, 0.0]
        seen = drawn().marks[row] * [1, -1, 1] + [0.5, SIDE + 0.5, 0]
        placed = fit_similarity(points * MICRO, seen)
        angles = -Rotation.from_matrix(placed.rotation).as_euler("XYZ")
        fit = {
            "Shape_Para": shape[:, None],
            "Exp_Para": people.expression[row].double().numpy()[:, None],
            "Pose_Para": np.array([[*angles, *placed.translation, placed.scale]]),
            "pt2d": seen[:, :2].T,
        }
        name = f"HELEN_{row // PHOTOS}_1_{row % PHOTOS}"
        for part in ("HELEN", "HELEN_Flip"):
            write(root / part / f"{name}.jpg", picture)
            savemat(root / part / f"{name}.mat", fit)


def bfm(root: Path) -> None:
    batch = LapPeopleConfig(size=64, seed=4711, photos=1).build().batch(range(4), CPU)
    depth, pictures = batch.truth.view_depth.numpy(), (batch.images.permute(0, 2, 3, 1).numpy() * 255).round()
    for row, (one, picture) in enumerate(zip(depth, pictures, strict=True)):
        near = (one / np.median(one[one > 0])).clip(0.9, 1.099)  # a face as far as BFM's: neither error feels its scale
        stored = np.where(one > 0, (1.1 - near) / 0.2 * 255, 0).round().astype(np.uint8)
        write(root / "test" / "image" / f"image_{row}.png", picture.astype(np.uint8))
        write(root / "test" / "depth" / f"depth_{row}.png", stored)


def micc(root: Path) -> None:
    triangles = head_topology(load_template()).triangles  # of the cage: a scan is as many points to be measured from
    vertices = drawn().people.neutral[0, : triangles.max() + 1].double().numpy()
    folder = root / "subject_01"
    write_obj(folder / "Model" / "frontal1" / "obj" / "scan.obj", vertices * MM, triangles)
    for condition in ("Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor"):
        for row in range(PHOTOS):
            write(folder / "Videos" / condition / f"frame{row}.jpg", drawn().pictures[row])


def bu3dfe(root: Path) -> None:
    vertices, triangles, _, _ = head(0)
    folder, name = root / "F0001", "F0001_NE00WH"
    write(folder / f"{name}_F2D.bmp", drawn().pictures[0])
    points = ", ".join(" ".join(f"{value:.5f}" for value in vertex) for vertex in vertices * MM)
    faces = ", ".join(f"{a}, {b}, {c}, -1" for a, b, c in triangles)
    text = "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet {\n"
    text += f"texCoord TextureCoordinate {{ point [ 0 0, 1 1 ] }} coord Coordinate {{ point [ {points} ] }}\n"
    (folder / f"{name}_F3D.wrl").write_text(f"{text} coordIndex [ {faces} ] }} }}\n")


def now(root: Path) -> None:
    vertices, triangles, seven, _ = head(0)
    write_obj(root / "scans" / "FaMoS_1" / "natural.obj", vertices * MM, triangles)
    points = "\n".join(
        f'<point x="{x:.5f}" y="{y:.5f}" z="{z:.5f}" name="{k}" active="1"/>' for k, (x, y, z) in enumerate(seven * MM)
    )
    (root / "scans_lmks_onlypp" / "FaMoS_1").mkdir(parents=True)
    (root / "scans_lmks_onlypp" / "FaMoS_1" / "natural.pp").write_text(f"<PickedPoints>\n{points}\n</PickedPoints>")
    lines = [f"FaMoS_1/multiview_neutral/IMG_{row}.jpg" for row in range(PHOTOS)]
    for line, picture in zip(lines, drawn().pictures, strict=False):
        write(root / "iphone_pictures" / line, picture)
    for part in ("validation", "test"):
        (root / f"imagepaths{part}.txt").write_text("\n".join(lines))


def celebamask(root: Path) -> None:
    """As the set's README and public loaders have it: masks of 512 px, ``idx orig_idx orig_file`` behind a heading."""
    lines = ["idx orig_idx          orig_file"]
    for row, picture in enumerate(drawn().pictures):
        labels = drawn().people.labels[row].numpy()
        lines.append(f"{row}   {row + 9}   {row + 10:06d}.jpg")
        write(root / "CelebA-HQ-img" / f"{row}.jpg", picture)
        for name, chosen in (("skin", labels == FaceClass.SKIN), ("u_lip", labels == FaceClass.LIPS)):
            write(root / "CelebAMask-HQ-mask-anno" / "0" / f"{row:05d}_{name}.png", np.uint8(255) * chosen)
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines))
    (root / "list_eval_partition.txt").write_text("000010.jpg 0\n000011.jpg 2\n000012.jpg 1\n000013.jpg 2\n")


REGIONS: Mapping[str, tuple[int, ...]] = {
    "nose": tuple(range(27, 36)),
    "mouth": (*range(48, 61), 64),
    "forehead": tuple(range(17, 27)),
    "cheek": (7, 8, 9, 36, 45, 48, 54),
}
"""Keypoints of iBUG's 68 around which the made-up scan of a region lies."""


def realy(root: Path, unit: float = 100.0) -> None:
    vertices, triangles, _, marks = head(0)
    keypoints = np.concatenate([marks, marks[:17]]) * unit
    write_obj(root / "REALY_HIFI3D_keypoints" / "1.obj", keypoints, np.zeros((0, 3), int))
    for region, chosen in REGIONS.items():
        apart = np.linalg.norm(vertices[:, None] - marks[list(chosen)][None], axis=-1).min(1)
        near = (apart < 0.012) & (vertices[:, 2] > marks[:, 2].min() - 0.03)
        kept = triangles[near[triangles].all(1)]
        used = np.unique(kept)
        write_obj(
            root / "REALY_scan_region" / "1" / f"{region}.obj", vertices[used] * unit, np.searchsorted(used, kept)
        )
    (root / "metrical_scale.txt").write_text(f"{MM / unit}\n")
    write(root / "REALY_image" / "1.png", drawn().pictures[0])
    write(root / "REALY_image_depth" / "1.png", drawn().pictures[0] // 2)


WRITERS: Mapping[str, object] = {
    "people": people,
    "celeba": celeba,
    "voxceleb": voxceleb,
    "aflw2000": aflw2000,
    "300w_lp": w300_lp,
    "face_model": face_model,
    "flame": flame,
    "bfm": bfm,
    "micc": micc,
    "bu3dfe": bu3dfe,
    "now": now,
    "now_test": now,
    "celebamask": celebamask,
    "realy": realy,
}
"""Set -> function that writes its made-up copy into a folder."""


def copy_of(name: str, folder: Path) -> Path:
    """The made-up copy of a set, written into ``folder / name``."""
    root = folder / name
    root.mkdir(parents=True)
    WRITERS[name](root)
    return root
