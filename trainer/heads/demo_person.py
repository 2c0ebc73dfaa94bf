"""Render photographs of a synthetic person: ``demo-photos --out DIR``.

Everything is made from the committed template: a random identity of the prior, skin from melanin and haemoglobin,
painted brows and eyes, short hair. The pictures come from the evaluation's ray tracer, so they are independent of
the renderer that the fit uses.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from backend.command_line.parser import path_argument
from backend.errors import LikenessError
from backend.exchange.all_or_none import check_writable
from backend.geometry.normals import vertex_normals
from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template, load_template
from backend.geometry.vectors import smoothstep
from protocol.names import ARKIT_NAMES
from trainer.engine.disk_cache import write_bytes
from trainer.heads import paint, photographs
from trainer.heads.photographs import Photograph, Shot, shot_camera, subdivide_midpoint, sweep_torso, take_photograph
from trainer.heads.raytrace import Film, Surface, joined

IDENTITY_DEVIATION = 0.9
IDENTITY_MODES = 40
WHITE_SKIN = np.array([0.80, 0.64, 0.54])
MELANIN = np.array([1.2, 1.8, 2.45])
HAEMOGLOBIN = np.array([0.25, 1.55, 1.25])
"""Skin without pigment, and absorption per unit of pigment, in linear R, G, B."""
HAIRLINE = (10, 338, 297, 332, 284, 251, 389)
"""MediaPipe landmarks from the top of the face's outline to its left temple."""
HAIRLINE_RISE = 0.004
SCLERA = (0.50, 0.45, 0.42)
MOST_PHOTOS = 24
DEFAULT_SEED = 5


@dataclass(frozen=True)
class DemoLook:
    """A synthetic person's colours.

    Attributes
    ----------
    melanin, haemoglobin : pigment, 0.1 (very fair) to 1.2, and about 0.25. hair : linear colour of hair and brows.
    hair_length : metres. brow, brow_thickness : darkness 0-1 and factor. stubble, freckles : strength 0-1.
    cloth : colour of the shirt. eyes : ``EyeLook``. seed : of all noise.
    """

    melanin: float
    haemoglobin: float
    hair: tuple[float, float, float]
    hair_length: float
    brow: float
    brow_thickness: float
    stubble: float
    freckles: float
    cloth: tuple[float, float, float]
    eyes: paint.EyeLook
    seed: int


@dataclass(frozen=True)
class DemoPerson:
    """``identity`` (K,) in standard deviations of the template's modes, and ``DemoLook``."""

    identity: np.ndarray
    look: DemoLook


def random_person(seed: int) -> DemoPerson:
    """Draw a person; the same seed gives the same person."""
    generator = np.random.default_rng(seed)
    melanin = float(np.exp(generator.uniform(np.log(0.12), np.log(1.0))))
    fair = melanin < 0.35
    hairs, irises = ([tuple(colour) for colour in photographs.TABLES["demo"][name]] for name in ("hairs", "irises"))
    look = DemoLook(
        melanin,
        float(generator.uniform(0.08, 0.18)),
        hairs[int(generator.integers(5 if fair else 2))],
        float(generator.uniform(0.004, 0.012)),
        float(generator.uniform(0.8, 0.95)),
        float(generator.uniform(0.9, 1.4)),
        float(generator.choice([0.0, 0.0, 0.35, 0.6])),
        float(generator.choice([0.0, 0.0, 0.8])) if fair else 0.0,
        tuple(0.03 + 0.35 * (0.5 * generator.random(3) + 0.5 * generator.random()) ** 2),
        paint.EyeLook(
            float(generator.normal(0.0117, 0.0003)), irises[int(generator.integers(4 if fair else 2))], SCLERA
        ),
        seed,
    )
    return DemoPerson(generator.normal(size=IDENTITY_MODES) * IDENTITY_DEVIATION, look)


def demo_cage(person: DemoPerson, expression: Mapping[str, float] | None = None) -> np.ndarray:
    """Return the person's (V, 3) cage in the template's order, metres; ``expression`` is ARKit weights by name."""
    template = load_template()
    count = min(len(person.identity), len(template.identity_modes))
    cage = template.vertices + np.tensordot(person.identity[:count], template.identity_modes[:count], 1)
    for name, weight in (expression or {}).items():
        cage = cage + weight * template.expressions[ARKIT_NAMES.index(name)]
    return cage.astype(np.float64)


@dataclass(frozen=True)
class _FinePart:
    """A part of the template at level 1, split further: triangles and the matrix (V', V_level1) from its level-1
    rows."""

    faces: np.ndarray
    matrix: object
    rows: slice


def _fine_part(name: str, levels: int) -> _FinePart:
    fine = subdivision(1)
    part = fine.parts[name]
    quads = fine.quads[part.face_start : part.face_stop].astype(np.int64) - part.vertex_start
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(1)]
    faces, matrix = subdivide_midpoint(triangles, part.vertex_stop - part.vertex_start, levels)
    return _FinePart(faces, matrix, slice(part.vertex_start, part.vertex_stop))


def skin_colour(melanin: np.ndarray, haemoglobin: np.ndarray) -> np.ndarray:
    """(P, 3) linear albedo of skin from pigment (P,): Beer-Lambert absorption over a white dermis."""
    return WHITE_SKIN * np.exp(-np.multiply.outer(melanin, MELANIN) - np.multiply.outer(haemoglobin, HAEMOGLOBIN))


def _regions(template: Template, part: _FinePart) -> dict[str, np.ndarray]:
    matrix = subdivision(1).matrix
    return {name: part.matrix @ (matrix @ weight)[part.rows] for name, weight in template.regions.items()}


def paint_skin(
    canonical: np.ndarray, regions: Mapping[str, np.ndarray], landmarks: np.ndarray, look: DemoLook
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (P, 3) and hair cover (P,) of skin vertices.

    Parameters
    ----------
    canonical : (P, 3) the vertices on the template's mean face, so that features lie at the same places on everybody.
    regions : name -> (P,) weights. landmarks : (478, 3) on the mean face.
    """
    seed = look.seed
    blotch = paint.fractal_noise(canonical, 0.035, seed, 5)
    fine = paint.fractal_noise(canonical, 0.004, seed + 1, 3)
    vessels = paint.fractal_noise(canonical, 0.012, seed + 2, 4)
    melanin = look.melanin * (1 + 0.18 * blotch + 0.10 * fine)
    melanin += 0.06 * smoothstep(0.3, 1.0, regions["eye_sockets"])
    haemoglobin = look.haemoglobin * (1 + 0.35 * vessels)
    haemoglobin += 0.09 * regions["cheeks"] + 0.08 * regions["nose"] + 0.10 * regions["ears"]
    haemoglobin += 0.06 * regions["eye_sockets"]
    spots = paint.scattered_spots(canonical, 0.0034, 0.0013, 0.45, seed + 3)
    freckled = np.clip(regions["cheeks"] + regions["nose"] + 0.25 * regions["face"], 0, 1)
    melanin += (
        0.30 * look.freckles * freckled * spots * smoothstep(-0.5, 0.4, paint.value_noise(canonical, 0.015, seed + 4))
    )
    melanin += 0.8 * paint.scattered_spots(canonical, 0.03, 0.0014, 0.06, seed + 5)  # moles
    albedo = skin_colour(melanin, haemoglobin)
    lips = smoothstep(0.25, 0.75, regions["lips"])
    creases = paint.value_noise(canonical, (0.0016, 0.02, 0.02), seed + 6)
    red = skin_colour(0.75 * melanin + 0.05, haemoglobin + 0.55 + 0.10 * creases)
    albedo += (red - albedo) * (0.85 * lips)[:, None]
    albedo += ([0.10, 0.025, 0.022] - albedo) * smoothstep(0.4, 0.9, regions["mouth_interior"])[:, None]
    hair = np.asarray(look.hair)
    dots = 0.55 + 0.45 * paint.value_noise(canonical, 0.0011, seed + 7)
    bearded = np.clip(regions["chin"] + 0.8 * _moustache(canonical, landmarks), 0, 1) * (1 - lips)
    for density in (
        0.55 * look.stubble * bearded * np.clip(dots, 0, 1),
        look.brow * paint.brow_density(canonical, landmarks, look.brow_thickness, seed),
        paint.lash_density(canonical, landmarks),
    ):
        albedo += (hair - albedo) * density[:, None]
    return np.clip(albedo, 0.004, 0.95), hair_cover(canonical, regions, landmarks, seed)


def hair_cover(
    canonical: np.ndarray, regions: Mapping[str, np.ndarray], landmarks: np.ndarray, seed: int
) -> np.ndarray:
    """(P,) 0-1, hair coverage: the scalp, and in front down to MediaPipe's outline of the face."""
    ragged = paint.value_noise(canonical, 0.003, seed + 8) + paint.value_noise(canonical, 0.02, seed + 9)
    line = landmarks[list(HAIRLINE)]
    y = np.interp(np.abs(canonical[:, 0]), np.abs(line[:, 0]), line[:, 1])
    rise = canonical[:, 1] - y - HAIRLINE_RISE + 0.0025 * ragged
    front = smoothstep(-0.003, 0.005, rise) * smoothstep(0.0, 0.02, canonical[:, 2])
    back = smoothstep(0.40, 0.62, regions["scalp"] + 0.1 * ragged)
    return np.maximum(front, back) * (1 - smoothstep(0.05, 0.3, regions["ears"]))


def _moustache(canonical: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(P,) 0-1 mask between nose and upper lip."""
    centre = (landmarks[2] + landmarks[0]) / 2
    offset = (canonical - centre) / [0.024, 0.008, 0.02]
    return smoothstep(1.2, 0.6, np.linalg.norm(offset, axis=1))


@dataclass(frozen=True)
class DressedTemplate:
    """The parts that all pictures of a person share: fine topology and colours."""

    person: DemoPerson
    head: _FinePart
    eyes: tuple[_FinePart, _FinePart]
    canonical: np.ndarray
    albedo: np.ndarray
    hair_cover: np.ndarray

    def surface(self, expression: Mapping[str, float], look_at_point: np.ndarray) -> Surface:
        """Build the ray tracer's surface for an expression, with the eyes turned to a point in the head frame."""
        template, look = load_template(), self.person.look
        cage = demo_cage(self.person, expression)
        level1 = subdivision(1).matrix @ cage
        points = self.head.matrix @ level1[self.head.rows]
        canonical, cover, seed = self.canonical, self.hair_cover, look.seed
        normals = vertex_normals(points, self.head.faces)
        size = len(points)
        pores = 9e-6 * paint.value_noise(canonical, 0.0011, seed + 10) + 2.5e-5 * paint.value_noise(
            canonical, 0.003, seed + 11
        )
        strands = paint.value_noise(canonical, (0.0013, 0.012, 0.004), seed + 12)
        lift = look.hair_length * (0.8 + 0.25 * paint.fractal_noise(canonical, 0.03, seed + 13) + 0.06 * strands)
        points = points + normals * (cover * lift)[:, None]
        bumped = points + normals * (pores * (1 - cover) + 0.0004 * cover * strands)[:, None]
        hair = np.asarray(look.hair) * (1 + 0.5 * strands[:, None])
        albedo = self.albedo + (hair - self.albedo) * cover[:, None]
        rough = 0.36 + 0.06 * paint.fractal_noise(canonical, 0.02, seed + 14)
        head = Surface(
            points,
            self.head.faces,
            vertex_normals(bumped, self.head.faces),
            albedo,
            np.full(size, 0.028),
            rough + (0.5 - rough) * cover,
            1 - cover,
        )
        neck = canonical[:, 1] < template.vertices[: template.head.vertex_stop, 1].min() + 0.02
        outline = photographs.TABLES["demo"]["shoulders"]
        torso = sweep_torso(points, self.head.faces, neck, outline, np.asarray(look.cloth))
        eyes = [self._eye(index, level1, look_at_point) for index in range(2)]
        return joined((head, torso, *eyes))

    def _eye(self, index: int, level1: np.ndarray, point: np.ndarray) -> Surface:
        part = self.eyes[index]
        vertices = part.matrix @ level1[part.rows]
        centre = (level1[part.rows].max(0) + level1[part.rows].min(0)) / 2
        gaze = (point - centre) / np.linalg.norm(point - centre)
        gaze = np.clip(gaze, [-0.4, -0.3, 0.5], [0.4, 0.3, 1.0])
        gaze /= np.linalg.norm(gaze)
        look = self.person.look
        size = len(vertices)
        colour = paint.paint_eyeball(vertices, centre, gaze, look.eyes, look.seed + index)
        return Surface(
            vertices,
            part.faces,
            vertex_normals(vertices, part.faces),
            colour,
            np.full(size, 0.03),
            np.full(size, 0.06),
            np.full(size, 0.25),
        )


def dressed_template(person: DemoPerson) -> DressedTemplate:
    """Paint a person once for all pictures."""
    template = load_template()
    head = _fine_part("head", 2)
    canonical = head.matrix @ (subdivision(1).matrix @ template.vertices.astype(np.float64))[head.rows]
    landmarks = template.landmarks478.positions(template.vertices.astype(np.float64))
    albedo, cover = paint_skin(canonical, _regions(template, head), landmarks, person.look)
    eyes = (_fine_part("eye_left", 3), _fine_part("eye_right", 3))
    return DressedTemplate(person, head, eyes, canonical, albedo, cover)


POSES = ((3.0, 1.0), (27.0, -4.0), (-30.0, 3.0), (-14.0, 9.0), (40.0, 4.0), (-44.0, -3.0), (14.0, -9.0), (0.0, 8.0))
LIGHTS = ("window", "overcast", "lamp", "studio", "two_lamps", "sun", "flash")
SIZE = (768, 896)


def demo_shots(count: int, seed: int) -> tuple[Shot, ...]:
    """Choose ``count`` different photographs: views all around the face, with varied light, distance and film."""
    generator = np.random.default_rng(seed + 77)
    shots = []
    for index in range(count):
        yaw, pitch = POSES[index % len(POSES)]
        jitter = generator.uniform(-1, 1, 7)
        film = Film(
            exposure=1.1 + 0.12 * jitter[0],
            white_balance=(1 + 0.04 * jitter[1], 1.0, 1 - 0.05 * jitter[2]),
            noise=float(generator.uniform(0.001, 0.003)),
            blur=0.45,
            jpeg_quality=93,
            contrast=float(generator.uniform(0.05, 0.3)),
        )
        shots.append(
            Shot(
                yaw + 3 * jitter[3],
                pitch + 2 * jitter[4],
                3 * jitter[5],
                float(np.exp(generator.uniform(np.log(0.6), np.log(1.8)))),
                float(generator.uniform(0.48, 0.58)),
                (0.03 * jitter[6], 0.0),
                SIZE,
                LIGHTS[index % len(LIGHTS)],
                float(generator.uniform(-25, 25)),
                film,
                seed * 1000 + index,
            )
        )
    return tuple(shots)


def demo_expression(index: int, seed: int) -> dict[str, float]:
    """Weights of a slight smile, raised brows or a neutral face, as in ordinary photos; the first photo is neutral."""
    generator = np.random.default_rng([seed, index, 5])
    smile = 0.0 if index == 0 else float(generator.uniform(0.0, 0.55))
    return {
        "mouthSmileLeft": smile,
        "mouthSmileRight": smile * float(generator.uniform(0.85, 1.0)),
        "cheekSquintLeft": 0.5 * smile,
        "cheekSquintRight": 0.5 * smile,
        "browInnerUp": float(generator.uniform(0.0, 0.25)) * (index % 2),
    }


def demo_photographs(person: DemoPerson, shots: tuple[Shot, ...], samples: int = 4) -> Iterator[Photograph]:
    """Yield one ``Photograph`` per shot."""
    dressed = dressed_template(person)
    template = load_template()
    marks = template.landmarks478.positions(demo_cage(person))
    middle = 0.5 * marks[[1, 152]].mean(0) + 0.5 * marks[168]  # between nose and eyes
    for index, shot in enumerate(shots):
        surface = dressed.surface(demo_expression(index, person.look.seed), shot_camera(shot, middle).centre())
        yield take_photograph(surface, middle, shot, samples=samples, ambient_rays=4)


def write_demo_photos(
    folder: Path, count: int = 5, seed: int = DEFAULT_SEED, size: tuple[int, int] = SIZE
) -> tuple[Path, ...]:
    """Write ``photo_1.jpg`` and so on; returns their paths.

    Raises
    ------
    LikenessError : ``usage`` for a count outside 1 to ``MOST_PHOTOS``, ``disk`` when a file cannot be written.
    """
    if not 1 <= count <= MOST_PHOTOS:
        raise LikenessError("usage", f"{count} photos were asked for.", f"Ask for 1 to {MOST_PHOTOS}.")
    check_writable(folder)
    shots = tuple(replace(shot, size=size) for shot in demo_shots(count, seed))
    paths = []
    made = demo_photographs(random_person(seed), shots)
    for index, photograph in enumerate(track(made, "Rendering photos", total=count, transient=True)):
        path = folder / f"photo_{index + 1}.jpg"
        try:
            write_bytes(path, photograph.jpeg)
        except OSError as problem:
            raise LikenessError("disk", f"{path} cannot be written: {problem}.", "Choose another folder.") from problem
        paths.append(path)
    return tuple(paths)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``demo-photos``."""
    parser.add_argument("--out", type=path_argument, required=True, help="folder for the photos, made when missing")
    parser.add_argument("--count", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"which person (default {DEFAULT_SEED})")


def run(arguments: argparse.Namespace) -> int:
    """Write the photos and print their paths; returns exit code 0."""
    for path in write_demo_photos(arguments.out, arguments.count, arguments.seed):
        print(path)
    return 0
