"""The held-out heads of ``faces3d``, dressed and photographed, with their true shape.

SIMPOP 15-20 are face masks without eyes, ears or colour. The most probable ICT head is registered to each of them. Its
surface then matches the scan to about a tenth of a millimetre and continues to ears, neck, skull and eyeballs
(``fitted_ict_head``); it gets skin, brows and hair (``ict_skin``). ``james`` is a whole textured scan and is
photographed unchanged. Never used for training.

People of known shape and expression: random ICT heads, photographed neutral or smiling.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from backend.geometry.normals import vertex_normals
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_texture
from trainer.engine.disk_cache import cache_folder, content_key, save_arrays, shared_folder, write_bytes
from trainer.heads import photographs
from trainer.heads.ict import EYES, SKIN_STOP, load_ict
from trainer.heads.ict_skin import SkinLook, carry_onto_scan, fine_ict, ict_person, openness
from trainer.heads.makehuman import read_obj
from trainer.heads.paint import EyeLook
from trainer.heads.raytrace import Surface, build_bvh, closest_points

SIMPOP_HELD_OUT = tuple(f"SIMPOP_{index}" for index in range(15, 21))
HELD_OUT = (*SIMPOP_HELD_OUT, "james")
MILLIMETRE = 0.001
PHOTOGRAPHED_METRES = 0.0006
"""Metres; scan points farther than this from the photographed surface (mostly the eyes) are not evaluated."""
ALIGNMENT_LANDMARKS = (33, 133, 362, 263, 2, 61, 291)
"""MediaPipe ids of the seven alignment points: the corners of the eyes from the person's right to the left, the base of
the nose, the corners of the mouth."""
NOSE_TIP = 1
BRIDGE = 168
CHIN = 152
TRAGUS_X, TRAGUS_YZ = 0.0745, (0.012, 0.012)
RENDERER_VERSION = "8"
"""Part of the cache key of all photographs: raise it when they would come out differently."""
CARRIED_VERSION = "v10"
"""Version of the heads that continue the simulated faces, and of their photographs only."""


@dataclass(frozen=True)
class ScanTruth:
    """A person's true shape as ground truth. One frame: metres, looking along +z, y up.

    Attributes
    ----------
    name : ``SIMPOP_15`` and so on.
    scan_vertices : (N, 3) true surface points. seven : (7, 3) alignment points on the scan, order of
    ``ALIGNMENT_LANDMARKS``. nose_tip, bridge (between the eyes) : (3,).
    ears : (2, 3) the tragi, left and right of the person (NaN when the scan has none).
    """

    name: str
    scan_vertices: np.ndarray
    seven: np.ndarray
    nose_tip: np.ndarray
    bridge: np.ndarray
    ears: np.ndarray


@dataclass(frozen=True)
class ScanHead:
    """A held-out head, ready to be photographed.

    Attributes
    ----------
    truth : its shape, limited to points that are visible in the photographs.
    surface_looking_at : function from the eyes' target point (3,) to the ray tracer's surface. middle : (3,) of the
    face.
    """

    truth: ScanTruth
    surface_looking_at: Callable[[np.ndarray], Surface]
    middle: np.ndarray


def truth_from_marks(name: str, scan_vertices: np.ndarray, marks: np.ndarray, ears: np.ndarray) -> ScanTruth:
    """Make a ``ScanTruth`` with points from MediaPipe landmarks (478, 3) on the scan."""
    return ScanTruth(name, scan_vertices, marks[list(ALIGNMENT_LANDMARKS)], marks[NOSE_TIP], marks[BRIDGE], ears)


def face_middle(marks: np.ndarray) -> np.ndarray:
    """(3,) aim of the cameras: half-way between the bridge of the nose and the midpoint of nose tip and chin."""
    return 0.5 * marks[[NOSE_TIP, CHIN]].mean(0) + 0.5 * marks[BRIDGE]


def person_look(index: int, seed: int) -> SkinLook:
    """Choose skin, hair, eyes and shirt number ``index``, varied by ``seed``."""
    generator = np.random.default_rng(seed)
    skins, irises = (photographs.TABLES["scans"][name] for name in ("skins", "irises"))
    skin_map, hair, cap = skins[index % len(skins)]
    iris = irises[0] if "dark" in skin_map else irises[int(generator.integers(len(irises)))]
    return SkinLook(
        skin_map,
        tuple(0.86 * generator.uniform(0.93, 1.05, 3)),
        0.92,
        float(generator.uniform(0.85, 1.35)),
        tuple(hair),
        cap,
        tuple(0.03 + 0.5 * generator.random(3) ** 2),
        EyeLook(float(generator.normal(0.0117, 0.0003)), tuple(iris)),
        seed,
    )


def tragus_ids() -> tuple[int, int]:
    """Return the ICT vertex ids of the left and the right tragus, nearest to two fixed places on the neutral face."""
    neutral = load_ict().neutral[:SKIN_STOP]
    left, right = (int(np.argmin(np.linalg.norm(neutral - [x, *TRAGUS_YZ], axis=1))) for x in (TRAGUS_X, -TRAGUS_X))
    return left, right


@lru_cache(maxsize=2)
def scan_head(name: str) -> ScanHead:
    """Make a held-out head by name; raises ``KeyError`` for others, ``FileNotFoundError`` without the shared data."""
    if name == "james":
        return _james()
    if name not in SIMPOP_HELD_OUT:
        raise KeyError(f"{name} is not one of the held-out heads {', '.join(HELD_OUT)}")
    path = shared_folder() / "faces3d" / "simulated_population" / f"{name}.obj"
    mesh = read_obj(path)
    vertices, faces = mesh.vertices, mesh.faces
    vertices = vertices * MILLIMETRE
    cached = cache_folder() / f"carried_{name}_{content_key(CARRIED_VERSION, vertices, load_ict().neutral)}.npz"
    if not cached.exists():
        head = carry_onto_scan(vertices, faces)
        arrays = {"moved": head.vertices, "marks": head.marks}
        save_arrays(cached, **arrays, rotation=head.rotation, translation=head.translation)
    with np.load(cached) as data:
        moved, marks = data["moved"], data["marks"]
        vertices = vertices @ data["rotation"].T + data["translation"]
    number = int(name[-2:])
    person = ict_person(moved, person_look(number, number))
    skin = build_bvh(moved[:SKIN_STOP], load_ict().skin)
    _, distance, _ = closest_points(skin, vertices)
    truth = truth_from_marks(name, vertices[distance < PHOTOGRAPHED_METRES], marks, moved[list(tragus_ids())])
    return ScanHead(truth, person.looking_at, face_middle(marks))


def _james() -> ScanHead:
    folder = shared_folder() / "faces3d" / "james"
    mesh = read_obj(folder / "james.obj")
    vertices, faces, uv, uv_faces = mesh.vertices, mesh.faces, mesh.uv, mesh.uv_faces
    vertices = vertices * MILLIMETRE
    fine_faces, matrix = photographs.subdivide_midpoint(faces, len(vertices), 3)
    fine_uv_faces, uv_matrix = photographs.subdivide_midpoint(uv_faces, len(uv), 3)
    picture = linear_from_srgb(np.asarray(Image.open(folder / "james.jpg").convert("RGB"), dtype=np.float64) / 255)
    colour = sample_texture(picture, uv_matrix @ uv)
    points = matrix @ vertices
    albedo = np.zeros((len(points), 3))
    albedo[fine_faces.ravel()] = colour[fine_uv_faces.ravel()]
    size = len(points)
    normals = matrix @ vertex_normals(vertices, faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    surface = Surface(
        points,
        fine_faces,
        normals,
        np.clip(albedo * 1.5, 0.01, 0.9),
        np.full(size, 0.02),
        np.full(size, 0.45),
        np.full(size, 0.4),
    )
    middle = np.array([-0.025, 0.0, -0.03])
    marks = photographs.find_surface_landmarks(points, fine_faces, middle, surface.albedo).positions
    truth = truth_from_marks("james", vertices, marks, np.full((2, 3), np.nan))
    return ScanHead(truth, lambda _: surface, face_middle(marks))


def photograph_head(
    name: str,
    shots: tuple[photographs.Shot, ...],
    make: Callable[[], tuple[Callable[[np.ndarray], Surface], np.ndarray]],
    folder: str,
) -> tuple[Path, ...]:
    """Return JPEG files of a head, rendered where they are not in the disk cache.

    ``make`` returns a function from the eyes' target point to the surface, and the centre of the face. It is called
    only when a picture is missing. The file names do not reveal how the photos were taken.
    """
    base = cache_folder() / "photographs" / folder
    paths = tuple(base / f"{content_key(RENDERER_VERSION, name, shot)}.jpg" for shot in shots)
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        surface_looking_at, middle = make()
        for index in missing:
            surface = surface_looking_at(photographs.shot_camera(shots[index], middle).centre())
            write_bytes(paths[index], photographs.take_photograph(surface, middle, shots[index]).jpeg)
    return paths


def scan_photos(name: str, distance: float | None = None) -> tuple[Path, ...]:
    """Render six photographs of a held-out head, all from ``distance`` metres if given. The first is the most
    frontal."""

    def make() -> tuple[Callable[[np.ndarray], Surface], np.ndarray]:
        head = scan_head(name)
        return head.surface_looking_at, head.middle

    seed = 1000 + HELD_OUT.index(name)
    known_as = f"{name} {CARRIED_VERSION}" if name in SIMPOP_HELD_OUT else name
    return photograph_head(known_as, photographs.six_shots(seed, distance), make, name)


IDENTITY_MODES = 60
IDENTITY_DEVIATION = 0.8


def ict_identity(seed: int) -> np.ndarray:
    """(60,) coefficients of a random person in standard deviations, with a little less spread than the model's own."""
    return np.random.default_rng(seed).normal(size=IDENTITY_MODES) * IDENTITY_DEVIATION


def smile(strength: float) -> dict[str, float]:
    """A closed-mouth smile with raised cheeks, as ICT expression weights."""
    return {
        "mouthSmile_L": strength,
        "mouthSmile_R": strength,
        "cheekSquint_L": 0.6 * strength,
        "cheekSquint_R": 0.6 * strength,
        "mouthDimple_L": 0.2 * strength,
        "mouthDimple_R": 0.2 * strength,
    }


def ict_photos(seed: int, smiling: bool) -> tuple[Path, ...]:
    """Render six photographs of random person ``seed``; smiling in all of them (0.55 to 1.0) or in none."""
    strengths = np.random.default_rng(seed + 5).uniform(0.55, 1.0, 6) if smiling else np.zeros(6)
    paths = []
    for index, shot in enumerate(photographs.six_shots(5000 + seed)):
        weights = smile(float(strengths[index])) if smiling else {}

        def make(weights: Mapping[str, float] = weights) -> tuple[Callable[[np.ndarray], Surface], np.ndarray]:
            vertices = load_ict().shaped(ict_identity(seed), weights)
            marks = fine_ict().landmarks.on(vertices[: EYES[1][1]], fine_ict().coarse_faces)
            person = ict_person(vertices, person_look(seed, 300 + seed))
            return person.looking_at, face_middle(marks)

        paths += photograph_head(f"ict_{seed}_{sorted(weights.items())}", (shot,), make, f"ict_{seed}")
    return tuple(paths)


def neutral_scan(seed: int) -> ScanTruth:
    """The visible skin of the neutral face of random person ``seed``, in the form of a scan."""
    vertices = load_ict().shaped(ict_identity(seed))
    marks = fine_ict().landmarks.on(vertices[: EYES[1][1]], fine_ict().coarse_faces)
    visible = openness(vertices[:SKIN_STOP], load_ict().skin) > 0.45
    return truth_from_marks(f"ict_{seed}", vertices[:SKIN_STOP][visible], marks, vertices[list(tragus_ids())])


@lru_cache(maxsize=1)
def _template_positions() -> tuple[np.ndarray, np.ndarray]:
    """ICT triangle (V_head, 3 vertex ids) and barycentrics at each template head vertex."""
    model = load_ict()
    faces = model.skin
    hit, _, barycentrics = closest_points(build_bvh(model.neutral[:SKIN_STOP], faces), fine_ict().template)
    return faces[hit], barycentrics


def true_template_positions(seed: int) -> np.ndarray:
    """(V_head, 3) positions of the template's head vertices on the neutral face of random person ``seed``, metres."""
    corners, barycentrics = _template_positions()
    neutral = load_ict().shaped(ict_identity(seed))
    return (neutral[corners] * barycentrics[:, :, None]).sum(1)
