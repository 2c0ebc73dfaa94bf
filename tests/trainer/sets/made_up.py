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

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from trainer.measures.estimate import as_estimate
from trainer.methods.lap.data import LapPeopleConfig
from trainer.methods.learned_basis.losses import lip_masks
from trainer.people.source import PeopleBatch, PeopleConfig
from trainer.sets.protocols import REGIONS
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
    (root / "identity_CelebA.txt").write_text("\n".join(lines))


def vggface2(root: Path) -> None:
    for row, picture in enumerate(drawn().pictures):
        write(root / "train" / f"n{row // PHOTOS:06d}" / f"{row:04d}_01.jpg", picture)


def voxceleb(root: Path) -> None:
    clip = root / "id10001" / "abc" / "00001.avi"
    clip.parent.mkdir(parents=True)
    film = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 25, (SIDE, SIDE))
    for number in range(8):
        film.write(np.ascontiguousarray(drawn().pictures[number // 4][..., ::-1]))
    film.release()
    for number in range(5):
        write(root / "id10002" / "xyz" / f"{number:05d}.jpg", drawn().pictures[PHOTOS + number % PHOTOS])


def _fit(row: int) -> dict[str, np.ndarray]:
    angles = np.radians([[0.0, drawn().yaw[row], 0.0, 0.0, 0.0, 0.0, 1.0]])
    return {"Pose_Para": angles, "Shape_Para": np.ones((199, 1)), "Exp_Para": np.zeros((29, 1))}


def aflw2000(root: Path) -> None:
    for row, picture in enumerate(drawn().pictures):
        write(root / f"image{row:05d}.jpg", picture)
        savemat(root / f"image{row:05d}.mat", _fit(row) | {"pt3d_68": drawn().marks[row].T})


def w300_lp(root: Path) -> None:
    for row, picture in enumerate(drawn().pictures):
        for part in ("HELEN", "HELEN_Flip"):
            write(root / part / f"a_{row}_0.jpg", picture)
            savemat(root / part / f"a_{row}_0.mat", _fit(row))
            (root / "landmarks" / part).mkdir(parents=True, exist_ok=True)
            savemat(root / "landmarks" / part / f"a_{row}_0_pts.mat", {"pts_3d": drawn().marks[row, :, :2]})


def w3dfaw(root: Path) -> None:
    kept = [k for k in range(68) if k not in (60, 64)]
    for row, picture in enumerate(drawn().pictures):
        write(root / "train_img" / f"f{row}.jpg", picture)
        (root / "train_lm").mkdir(exist_ok=True)
        np.savetxt(root / "train_lm" / f"f{row}_lm.csv", drawn().marks[row][kept], delimiter=",", fmt="%.4f")


def bfm(root: Path) -> None:
    batch = LapPeopleConfig(size=64, seed=4711, photos=1).build().batch(range(4), CPU)
    depth, pictures = batch.truth.view_depth.numpy(), (batch.images.permute(0, 2, 3, 1).numpy() * 255).round()
    for row, (one, picture) in enumerate(zip(depth, pictures, strict=True)):
        near = (one / np.median(one[one > 0])).clip(0.9, 1.099)  # a face as far as BFM's: neither error feels its scale
        stored = np.where(one > 0, (1.1 - near) / 0.2 * 255, 0).round().astype(np.uint8)
        write(root / "test" / "image" / f"image_{row}.png", picture.astype(np.uint8))
        write(root / "test" / "depth" / f"depth_{row}.png", stored)


def celebamask(root: Path) -> None:
    people = drawn().people
    lips = lip_masks(people.labels, people.landmarks478)
    names = {"skin": FaceClass.SKIN, "hair": FaceClass.HAIR, "mouth": FaceClass.MOUTH_INTERIOR, "l_eye": FaceClass.EYES}
    for row, picture in enumerate(drawn().pictures):
        write(root / "CelebA-HQ-img" / f"{row}.jpg", picture)
        labels = people.labels[row].numpy()
        masks = {name: labels == int(kind) for name, kind in names.items()}
        masks |= {"u_lip": lips.upper[row].numpy(), "l_lip": lips.lower[row].numpy()}
        for name, mask in masks.items():
            write(root / "CelebAMask-HQ-mask-anno" / "0" / f"{row:05d}_{name}.png", (mask * 255).astype(np.uint8))


def micc(root: Path) -> None:
    vertices, triangles, _, _ = head(0)
    folder = root / "subject_01"
    write_obj(folder / "Model" / "frontal1" / "obj" / "scan.obj", vertices * MM, triangles)
    for condition in ("Cooperative", "Indoor", "Outdoor"):
        for row in range(PHOTOS):
            write(folder / "Videos" / condition / f"frame{row}.jpg", drawn().pictures[row])


def bu3dfe(root: Path) -> None:
    vertices, triangles, _, _ = head(0)
    folder, name = root / "F0001", "F0001_NE00WH"
    write(folder / f"{name}_F2D.bmp", drawn().pictures[0])
    points = ", ".join(" ".join(f"{value:.5f}" for value in vertex) for vertex in vertices * MM)
    faces = ", ".join(f"{a}, {b}, {c}, -1" for a, b, c in triangles)
    text = f"#VRML V2.0 utf8\nShape {{ geometry IndexedFaceSet {{ coord Coordinate {{ point [ {points} ] }}\n"
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
    (root / "imagepathsvalidation.txt").write_text("\n".join(lines))


def realy(root: Path, unit: float = 100.0) -> None:
    vertices, triangles, _, marks = head(0)
    keypoints = np.concatenate([marks, np.zeros((17, 3))]) * unit
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


WRITERS: Mapping[str, object] = {
    "people": people,
    "celeba": celeba,
    "vggface2": vggface2,
    "voxceleb": voxceleb,
    "300w_lp": w300_lp,
    "aflw2000": aflw2000,
    "3dfaw": w3dfaw,
    "bfm": bfm,
    "celebamask": celebamask,
    "micc": micc,
    "bu3dfe": bu3dfe,
    "now": now,
    "realy": realy,
}
"""Set -> function that writes its made-up copy into a folder."""


def copy_of(name: str, folder: Path) -> Path:
    """The made-up copy of a set, written into ``folder / name``."""
    root = folder / name
    root.mkdir(parents=True)
    WRITERS[name](root)
    return root
