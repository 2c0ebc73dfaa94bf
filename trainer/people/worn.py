"""What hides a drawn person's face, for the pictures that all nets are trained on: numbers are drawn for one picture
(``draw_worn``) and become labelled triangles about the posed head (``Wardrobe.mesh``), which ``render`` draws with it.

These are the product's grooms as ribbons, a bust with cloth, beards, glasses, hats, masks, and lumps before the face
that stand for hands, cups and microphones.
All heads share one list of triangles. What a person does not wear is collapsed to a point, which rasterizers skip;
cloth, masks and the hair's cover are copies of the skin that rise out of it where they are worn and lie below it
elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.geometry.vectors import unit, vertex_normals
from backend.hair.groom import Groom, grow_guides, load_grooms
from backend.hair.hair_strands import resampled_to
from backend.models.parsing.glasses import OUTLINE, GlassesSeat, GlassesShape, frame_grids, outline
from backend.photos.collection import FaceClass
from backend.rendering.camera import rotation_from_euler
from backend.rig.bust import load_bust
from trainer.people.look import Numbers, PersonLook, bounded_colour, stack
from trainer.people.shape import points_on
from trainer.people.skin import head_maps

LOCKS, POINTS = 600, 12
"""Ribbons of a head of hair and points along each: so many that no skin shows between them at 256 px."""
LOCK_WIDTH, SUNK, COVER = 0.008, -0.006, 0.003
"""Metres: a ribbon's width; of copied skin where nothing is worn; of the cover under the hair where it is."""
FRIZZ = {"straight": 0.0005, "wavy": 0.002, "curly": 0.005, "coily": 0.004}
"""Metres by which a lock's points leave its line, by the groom's curl."""
BEARD_LOCKS, BEARD_POINTS, BEARD_WIDTH, LEAST_BEARD = 260, 5, 0.005, 0.2
"""Ribbons of a beard, points along each, metres across; density below which a beard is stubble, which is painted."""
LONG = ("chin", "shoulder", "longer")
SKULL = np.array([0.0, 0.762, 0.030])
"""The middle of the mean head's skull, metres: locks are shaded as round about it, and hats are domes about it."""
NO_GROOM = -1.0
ROWS, COLUMNS = 9, 25
"""Of the grids of hats and lumps."""
USUAL_GLASSES = GlassesShape(
    width=0.05, height=0.036, power=2.8, sweep=0.001, narrow=0.1, drop=0.001, distance=0.014, low=0.003, wrap=1.7,
    tilt=0.11, spread=0.001, rim=0.0025, rim_below=0.0025, depth=0.0025, bridge=0.35, bridge_thickness=0.0025,
    temple=0.004, hinge=0.5,
)  # fmt: skip
"""Spectacles as opticians sell them; each length varies by a factor."""
EYES, NOSE_BRIDGE, EAR_FRONT = ((42, 45), (36, 39)), 27, (16, 0)
"""Of the 68 landmarks: corners of the person's left and right eye, the bridge of the nose, and the face before the
ears."""


@dataclass(frozen=True)
class WornParameters:
    """What one person wears in one picture; after ``stack`` tensors of a batch.

    Attributes
    ----------
    groom : index into ``load_grooms``, or ``NO_GROOM``. mirrored : 1 or -1. picks : (LOCKS,) in [0, 1), which guides of
        the groom are drawn. locks : (LOCKS, 3) their colours. hair : (3,) of the cover below them.
    beard : (4,) density of moustache, chin and jaws, 0-1; length in metres. beard_locks : (BEARD_LOCKS, 3) colours.
    hat : (6,) 0 or 1; height of the rim above the skull's middle over the skull's, its slope to the back, thickness of
        the dome, its additional height, length of the brim (all in parts of the skull). brim_front : 1 for a visor.
    hat_colours : (2, 3) of dome and brim.
    glasses : their shape. on_nose : (2,) 0 or 1, worn and dark. glasses_colours : (2, 3) of frame and lenses.
    skin, cloth : (3,). neckline : (3,) metres on the mean body: its height, depth and half width of its cut in front.
    mask : 0 or 1. mask_colour : (3,).
    lump : 0 or 1. lump_at : (68,) weights of landmarks. lump_shift : (3,) metres from there to its middle. lump_turn :
        (3,) Euler angles. lump_half : (3,) metres. lump_square : exponent, 1 for an ellipsoid, near 0 for a box.
        lump_colour : (3,).
    """

    groom: Numbers
    mirrored: Numbers
    picks: Numbers
    locks: Numbers
    hair: Numbers
    beard: Numbers
    beard_locks: Numbers
    hat: Numbers
    brim_front: Numbers
    hat_colours: Numbers
    glasses: GlassesShape
    on_nose: Numbers
    glasses_colours: Numbers
    skin: Numbers
    cloth: Numbers
    neckline: Numbers
    mask: Numbers
    mask_colour: Numbers
    lump: Numbers
    lump_at: Numbers
    lump_shift: Numbers
    lump_turn: Numbers
    lump_half: Numbers
    lump_square: Numbers
    lump_colour: Numbers


@dataclass(frozen=True)
class WornMesh:
    """Triangles of a batch with what shades them; head frame, metres.

    Attributes
    ----------
    vertices, normals : (N, V, 3). tangent : (N, V, 3) unit along fibres, or zero. albedo : (N, V, 3) linear.
    gloss : (N, V) strength of highlights. faces : (F, 3) int64, seen from both sides. labels : (F,) uint8 of
        ``FaceClass``.
    """

    vertices: Tensor
    normals: Tensor
    tangent: Tensor
    albedo: Tensor
    gloss: Tensor
    faces: Tensor
    labels: Tensor


def draw_worn(
    g: np.random.Generator,
    look: PersonLook,
    like: WornParameters | None = None,
    *,
    hat: float = 0.13,
    mask: float = 0.03,
) -> WornParameters:
    """Draw what one person wears in one picture, with probabilities of a hat and a mask.

    ``like`` : another picture of the same person, whose hair and usually whose glasses stay.
    """
    grooms = list(load_grooms().values())
    chances = np.array([_chance(groom, look) for groom in grooms])
    bald = g.random() < look.baldness - 0.6
    groom = NO_GROOM if bald else float(g.choice(len(grooms), p=chances / chances.sum()))
    grey = np.array([0.40, 0.39, 0.38]) * g.uniform(0.7, 1.4)
    dyed = np.array(look.hair) * (g.uniform(1.5, 4.0) if g.random() < 0.15 * look.femininity else 1.0)
    mixed = dyed + (grey - dyed) * (g.random((LOCKS, 1)) < 0.7 * look.greyness)
    sun, half = float(g.random() < 0.15), g.uniform(0.01, 0.05, 3) * [1.0, 1.6, 0.8]
    usual = {field.name: getattr(USUAL_GLASSES, field.name) for field in fields(GlassesShape)}
    shape = {name: length * np.exp(g.normal(0, 0.3)) for name, length in usual.items()}
    large = {
        "width": g.uniform(0.044, 0.058),
        "height": g.uniform(0.028, 0.050),
        "rim": g.choice([0.0008, 0.0025, 0.005]),
    }
    cut = g.random() < 0.5
    drawn = WornParameters(
        groom=groom,
        mirrored=g.choice([-1.0, 1.0]),
        picks=g.random(LOCKS),
        locks=np.clip(mixed * np.exp(g.normal(0, 0.25, (LOCKS, 1))), 0.003, 0.9),
        hair=np.array(bounded_colour(0.7 * dyed)),
        beard=np.array([look.moustache, look.chin, look.jaw, 0.004 + 0.06 * look.beard * g.random() ** 2]),
        beard_locks=np.clip(look.beard_hair * np.exp(g.normal(0, 0.25, (BEARD_LOCKS, 1))), 0.003, 0.9),
        hat=np.array([g.random() < hat, g.uniform(0.05, 0.4), g.uniform(0.1, 0.5), g.uniform(0.06, 0.2),
                      g.exponential(0.15), g.choice([0.0, 0.05, g.uniform(0.3, 0.9)])]),
        brim_front=float(g.random() < 0.5),
        hat_colours=np.stack([cloth_colour(g), cloth_colour(g)]),
        glasses=GlassesShape(**(shape | large)),
        on_nose=np.array([g.random() < 0.26 + 0.2 * np.clip((look.age - 35) / 40, 0, 1), sun]),
        glasses_colours=np.stack([cloth_colour(g) * g.choice([0.1, 1.0]), np.full(3, 0.02)]),
        skin=np.array(look.skin) * 0.9,
        cloth=cloth_colour(g),
        neckline=np.array([g.uniform(0.56, 0.60), g.uniform(0.0, 0.12) * cut, g.uniform(0.03, 0.10)]),
        mask=float(g.random() < mask),
        mask_colour=cloth_colour(g),
        lump=float(g.random() < 0.12),
        lump_at=np.eye(68)[g.integers(68)],
        lump_shift=g.normal(0, 0.012, 3) + np.array([0.0, 0.0, 0.02]),
        lump_turn=g.normal(0, 0.8, 3),
        lump_half=half,
        lump_square=g.uniform(0.2, 1.0),
        lump_colour=np.array(look.skin) * g.uniform(0.8, 1.1) if g.random() < 0.6 else cloth_colour(g),
    )  # fmt: skip
    if like is None:
        return drawn
    glasses = ("glasses", "on_nose", "glasses_colours") * (g.random() < 0.75)
    kept = ("groom", "mirrored", "locks", "hair", "beard", "beard_locks", *glasses)
    return replace(drawn, **{name: getattr(like, name) for name in kept})


def _chance(groom: Groom, look: PersonLook) -> float:
    """Relative frequency of a groom among people of a look."""
    kind = groom.kind
    female = kind["length"] in LONG or kind["tied"] != "no"
    often = look.femininity if female else 1.1 - look.femininity
    often *= 0.2 + 2.0 * look.melanin if kind["curl"] == "coily" else 1.2 - 0.8 * look.melanin
    return often * (1.0 - look.baldness if kind["density"] == "full" else 5.0 * look.baldness**2) + 1e-6


def cloth_colour(g: np.random.Generator) -> np.ndarray:
    """Draw a (3,) linear colour of cloth: mostly black, white or grey, sometimes any other."""
    if g.random() < 0.55:
        return np.clip(g.choice([0.02, 0.2, 0.65]) * np.exp(g.normal(0, 0.4)) * g.uniform(0.85, 1.15, 3), 0.005, 0.9)
    wheel = np.clip(np.abs((g.random() * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.clip(g.uniform(0.05, 0.75) * (1 - g.uniform(0.3, 0.97) * (1 - wheel)), 0.005, 0.9)


@dataclass(frozen=True)
class _Grown:
    """A groom on the mean head: lines (G, POINTS, 3), their nearest skull vertices (G, POINTS, 4) with weights, and
    (V,) height of the cover over the skin at each head vertex, metres."""

    lines: Tensor
    near: Tensor
    weights: Tensor
    cover: Tensor


@lru_cache(maxsize=64)
def _grown(index: int, mirrored: bool) -> _Grown:
    template = load_template()
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    if index == NO_GROOM:
        lines, edge, scalp = np.zeros((1, POINTS, 3)) + SKULL, np.full(1, SUNK), head[:1]
    else:
        groom = list(load_grooms().values())[index]
        grown = grow_guides(groom, template.vertices.astype(np.float64))
        lines = np.concatenate([resampled_to(part, POINTS) for part in (grown.points, grown.free)]).astype(np.float64)
        away = FRIZZ[groom.kind["curl"]] * np.random.default_rng(index).normal(size=lines.shape)
        lines = lines + away * np.linspace(0, 1, POINTS)[:, None]
        scalp, edge = grown.scalp.vertices.astype(np.float64), grown.scalp.edge
    if mirrored:
        lines, scalp = (points * [-1.0, 1.0, 1.0] for points in (lines, scalp))
    skull = np.flatnonzero(template.regions["scalp"][: len(head)] > 0.3)
    far, near = cKDTree(head[skull]).query(lines, k=4)
    weights = 1.0 / (far**2 + 1e-5)
    off, at = cKDTree(scalp).query(head)
    cover = np.where(off < 0.005, np.clip(0.5 * edge[at], SUNK, COVER), SUNK)
    arrays = (lines, skull[near], weights / weights.sum(-1, keepdims=True), cover)
    return _Grown(*(torch.from_numpy(one if one.dtype == np.int64 else one.astype(np.float32)) for one in arrays))


class Wardrobe:
    """Meshes what people wear on heads of the template."""

    def __init__(self, template: Template) -> None:
        self.template, bust = template, load_bust()
        count = template.head.vertex_stop
        head, regions = torch.from_numpy(template.vertices[:count]), template.regions
        faces = triangles_from_quads(template.quads[: template.head.face_stop]).astype(np.int64)
        hidden = sum(regions[name][:count] for name in ("mouth_interior", "ears", "eye_sockets")) > 0.3
        self._head_faces = torch.from_numpy(faces)
        low_in_front = (head[:, 2].numpy() > 0.10) & (head[:, 1].numpy() < SKULL[1] - 0.02)
        self._cover_faces = torch.from_numpy(faces[~(hidden | low_in_front)[faces].any(1)])
        self._skull = torch.from_numpy(np.flatnonzero(regions["scalp"][:count] > 0.3))
        self._top = torch.from_numpy(np.flatnonzero((template.vertices[:count, 1] > SKULL[1]) & ~hidden))
        self._mean = head
        parts = {name: mask[:count] for name, mask in regions.items()}
        maps = head_maps(template.vertices[:count], parts, template.landmarks478.positions(template.vertices))
        growth = np.stack([maps[name] for name in ("moustache", "chin", "jaw")])
        g = np.random.default_rng(0)
        chance = growth.max(0)[faces].mean(1)
        roots = faces[g.choice(len(faces), BEARD_LOCKS, p=chance / chance.sum())]
        shares = g.dirichlet(np.ones(3), BEARD_LOCKS)
        self._beard_roots, self._beard_weights = torch.from_numpy(roots), torch.from_numpy(shares).float()
        self._beard_growth = torch.from_numpy((growth[:, roots] * shares).sum(2)).float()
        marks = template.landmarks68.positions(template.vertices)
        low, high = float(marks[8, 1]) - 0.02, float(marks[29, 1])
        masked = torch.minimum(torch.minimum(high - head[:, 1], head[:, 1] - low), head[:, 2] - 0.03)
        self._mask = masked.clamp(SUNK, 0.006)
        self._mask_faces = torch.from_numpy(faces[~hidden[faces].any(1) & (masked.numpy()[faces] > SUNK).any(1)])
        self._bust = bust
        self._bust_faces = torch.from_numpy(triangles_from_quads(bust.quads).astype(np.int64))
        body = torch.from_numpy(bust.vertices)
        self._body = body - torch.stack([0 * body[:, 0], 3.0 * (0.49 - body[:, 1]).clamp(min=0), 0 * body[:, 0]], 1)

    def mesh(self, parameters: Sequence[WornParameters], head_vertices: Tensor) -> WornMesh:
        """Build the triangles of a batch on posed heads (N, >= V, 3), on their device."""
        device = head_vertices.device
        p = stack(parameters, device)
        head = head_vertices[:, : len(self._mean)].float()
        normals = vertex_normals(head, self._head_faces.to(device))
        marks = points_on(self.template.landmarks68, head)
        grown = [_grown(int(one.groom), one.mirrored < 0) for one in parameters]
        moved = head[:, self._skull].mean(1) - self._mean[self._skull].mean(0).to(device)
        middle = moved + torch.from_numpy(SKULL).float().to(device)
        size = (head[:, self._top] - middle[:, None]).abs().amax(1)
        cover = torch.stack([one.cover for one in grown]).to(device)
        scalp, masked = self._cover_faces.to(device), self._mask_faces.to(device)
        parts = [
            self._hair(p, grown, head, middle, size),
            _layer(head + normals * cover[..., None], normals, scalp, FaceClass.HAIR, p.hair[:, None], 0.2),
            self._grown_beard(p, head, normals),
            _hat(p, middle, size),
            *self._body_and_cloth(p, head),
            *_glasses(p, marks),
            _layer(_if(p.mask, head + normals * self._mask.to(device)[:, None]), normals, masked, FaceClass.OCCLUDER,
                   p.mask_colour[:, None]),
            _lump(p, marks),
        ]  # fmt: skip
        return _joined(parts)

    def _hair(self, p: WornParameters, grown: Sequence[_Grown], head: Tensor, middle: Tensor, size: Tensor) -> WornMesh:
        """Ribbons along locks of the grooms, which lie below a hat where one is worn."""
        device, n = head.device, len(head)
        picks = [(pick.cpu() * len(one.lines)).long() for pick, one in zip(p.picks, grown, strict=True)]
        lines, near, weights = (
            torch.stack([getattr(one, name)[pick] for pick, one in zip(picks, grown, strict=True)]).to(device)
            for name in ("lines", "near", "weights")
        )
        offset = head - self._mean.to(device)
        carried = offset.gather(1, near.view(n, -1, 1).expand(-1, -1, 3)).view(*near.shape, 3)
        path = lines + (carried * weights[..., None]).sum(3)
        round_skull = (path - middle[:, None, None]) / size[:, None, None]
        far = round_skull.norm(dim=-1, keepdim=True)
        rim = p.hat[:, 1, None, None] + p.hat[:, 2, None, None] * round_skull[..., 2]
        above = (round_skull[..., 1] > rim)[..., None]
        pressed = middle[:, None, None] + round_skull * size[:, None, None] / far.clamp(min=1e-4)
        path = torch.where(above & (p.hat[:, :1, None, None] > 0.5) & (far > 1.0), pressed, path)
        out = path - middle[:, None, None]
        out = unit(torch.stack([out[..., 0], out[..., 1].clamp(min=0), out[..., 2]], -1))
        return _ribbons(_if(1.0 + p.groom, path), out, LOCK_WIDTH, p.locks, FaceClass.HAIR)

    def _grown_beard(self, p: WornParameters, head: Tensor, normals: Tensor) -> WornMesh:
        """Ribbons that hang from moustache, chin and jaws, where there is no mask."""
        device = head.device
        roots = self._beard_roots.to(device)
        weights, growth = self._beard_weights.to(device)[..., None], self._beard_growth.to(device)
        root, out = ((values[:, roots] * weights).sum(2) for values in (head, normals))
        full = (p.beard[:, :3, None] * growth).amax(1)
        length = p.beard[:, 3:] * full * (full > LEAST_BEARD) * (1 - p.mask[:, None])
        down = head.new_tensor([0.0, -1.0, 0.1])
        down = unit(down - 0.7 * out * (out @ down)[..., None])
        t = torch.linspace(0, 1, BEARD_POINTS, device=device)[:, None]
        path = down[:, :, None] * t + 0.5 * out[:, :, None] * t * (1 - 0.6 * t)
        path = root[:, :, None] + 0.001 * out[:, :, None] + path * length[..., None, None]
        return _ribbons(path, out[:, :, None].expand_as(path), BEARD_WIDTH, p.beard_locks, FaceClass.FACIAL_HAIR)

    def _body_and_cloth(self, p: WornParameters, head: Tensor) -> tuple[WornMesh, WornMesh]:
        device, bust = head.device, self._bust
        rest, body, faces = self._mean[bust.rim.astype(np.int64)].to(device), self._body.to(device), self._bust_faces
        rim = head[:, torch.from_numpy(bust.rim.astype(np.int64)).to(device)]
        offset = (rim - rest)[:, torch.from_numpy(bust.nearest.astype(np.int64)).to(device)]
        share, follows = (torch.from_numpy(one).to(device) for one in (bust.share, bust.follows))
        shift = (rim - rest).mean(1, keepdim=True)
        own = (offset * share[..., None]).sum(2) - shift
        points = body + shift + follows[:, None] * own
        normals = vertex_normals(points, faces.to(device))
        height, depth, wide = (p.neckline[:, k, None] for k in range(3))
        line = height - depth * (1 - body[:, 0].abs() / wide).clamp(min=0) * (body[:, 2] > 0)
        lifted = points + normals * (0.5 * (line - body[:, 1])).clamp(SUNK, 0.005)[..., None]
        faces = faces.to(device)
        return (
            _layer(points, normals, faces, FaceClass.NECK, p.skin[:, None], 0.4),
            _layer(lifted, normals, faces, FaceClass.BACKGROUND, p.cloth[:, None]),
        )


def _ribbons(path: Tensor, out: Tensor, width: float, colours: Tensor, label: FaceClass) -> WornMesh:
    """Ribbons along paths (N, L, P, 3) on a surface whose normals are ``out``, colours (N, L, 3); none where a path is
    a point."""
    n, locks, count, _ = path.shape
    step = torch.cat([path[:, :, 1:2] - path[:, :, :1], path[:, :, 2:] - path[:, :, :-2],
                      path[:, :, -1:] - path[:, :, -2:-1]], 2)  # fmt: skip
    long = (path[:, :, -1:] - path[:, :, :1]).norm(dim=-1, keepdim=True) > 1e-5
    tangent = unit(step + 1e-7)
    side = unit(torch.linalg.cross(out, tangent) + 1e-7)
    along = torch.linspace(0, 1, count, device=path.device)[:, None]
    half = 0.5 * width * (1 - 0.5 * along**2) * side * long
    vertices = torch.stack([path - half, path + half], 3)
    normals = unit(torch.stack([out - 0.5 * side, out + 0.5 * side], 3))
    start = 2 * (torch.arange(locks)[:, None] * count + torch.arange(count - 1)).reshape(-1, 1).to(path.device)
    faces = torch.cat([start + start.new_tensor([0, 1, 2]), start + start.new_tensor([1, 3, 2])])
    made = _layer(vertices, normals, faces, label, colours[:, :, None, None], 0.3)
    return replace(made, tangent=tangent[..., None, :].expand_as(vertices).reshape(n, -1, 3))


def _layer(
    vertices: Tensor, normals: Tensor, faces: Tensor, label: FaceClass, albedo: Tensor, gloss: float = 0.0
) -> WornMesh:
    """A layer of one label from arrays (N, ..., 3); ``albedo`` is broadcast over them."""
    n = len(vertices)
    points = vertices.reshape(n, -1, 3)
    if albedo.ndim < vertices.ndim:
        albedo = albedo.view(*albedo.shape[:-1], *(1,) * (vertices.ndim - albedo.ndim), 3)
    return WornMesh(
        points,
        normals.expand_as(vertices).reshape(n, -1, 3),
        torch.zeros_like(points),
        albedo.expand_as(vertices).reshape(n, -1, 3),
        torch.full_like(points[..., 0], gloss),
        faces,
        torch.full((len(faces),), int(label), dtype=torch.uint8, device=points.device),
    )


def _joined(parts: Sequence[WornMesh]) -> WornMesh:
    starts = np.cumsum([0, *(part.vertices.shape[1] for part in parts)])
    values: Mapping[str, Tensor] = {
        name: torch.cat([getattr(part, name) for part in parts], 1)
        for name in ("vertices", "normals", "tangent", "albedo", "gloss")
    }
    faces = torch.cat([part.faces + int(start) for part, start in zip(parts, starts, strict=False)])
    return WornMesh(**values, faces=faces, labels=torch.cat([part.labels for part in parts]))


def _if(worn: Tensor, vertices: Tensor) -> Tensor:
    """Vertices (N, ..., 3), collapsed to a point where nothing is worn."""
    first = vertices.reshape(len(vertices), -1, 3)[:, :1].view(len(vertices), *(1,) * (vertices.ndim - 2), 3)
    return torch.where(worn.view(-1, *(1,) * (vertices.ndim - 1)) > 0.5, vertices, first)


def grid_faces(rows: int, columns: int, device: torch.device | str) -> Tensor:
    """(2 (rows - 1) (columns - 1), 3) int64 for vertices (rows, columns) in row-major order."""
    start = (
        torch.arange(rows - 1, device=device)[:, None] * columns + torch.arange(columns - 1, device=device)
    ).flatten()
    right, below = start + 1, start + columns
    return torch.cat([torch.stack([start, below, right], 1), torch.stack([right, below, below + 1], 1)])


def _grid(vertices: Tensor, label: FaceClass, albedo: Tensor, worn: Tensor, gloss: float = 0.0) -> WornMesh:
    """A layer from grids (N, rows, columns, 3), seen from outside: down the rows, to the person's left in front."""
    n, rows, columns, _ = vertices.shape
    faces = grid_faces(rows, columns, vertices.device)
    normals = vertex_normals(vertices.reshape(n, -1, 3), faces).view_as(vertices)
    return _layer(_if(worn, vertices), normals, faces, label, albedo, gloss)


def _round(device: torch.device) -> Tensor:
    return torch.linspace(-torch.pi, torch.pi, COLUMNS, device=device)


def _hat(p: WornParameters, middle: Tensor, size: Tensor) -> WornMesh:
    """A dome over the skull down to a level or tilted rim, with a brim all round or in front."""
    a = _round(middle.device)
    worn, rim, slope, thick, crown, brim = p.hat.view(-1, 6, 1, 1).unbind(1)
    row = torch.linspace(0, 1, ROWS, device=a.device)[:, None]
    lowest = (rim + slope * a.cos()).clamp(-0.6, 0.9)
    down = row * torch.arccos(lowest)
    spread = (1 + thick) * down.sin()
    x, z, y = spread * a.sin(), spread * a.cos(), (1 + thick) * down.cos() + crown * (1 - row**4)
    shell = torch.stack(torch.broadcast_tensors(x, y, z), -1)
    reach = brim * torch.where(p.brim_front[:, None, None] > 0.5, a.cos().clamp(min=0) ** 0.5, torch.ones_like(a))
    edge = shell[:, -1:]
    outer = edge + torch.stack([edge[..., 0] * reach, -0.15 * reach, edge[..., 2] * reach], -1)
    points = torch.cat([shell, outer], 1) * size[:, None, None] + middle[:, None, None]
    colour = torch.cat([p.hat_colours[:, :1].expand(-1, ROWS, -1), p.hat_colours[:, 1:]], 1)
    return _grid(points, FaceClass.OCCLUDER, colour[:, :, None], worn)


def _glasses(p: WornParameters, marks: Tensor) -> list[WornMesh]:
    """Rims, temples and bridge of glasses at landmarks (N, 68, 3), and lenses where they are dark."""
    eyes = torch.stack([marks[:, list(corners)].mean(1) for corners in EYES], 1)
    ears = marks[:, list(EAR_FRONT)] + marks.new_tensor([[0.004, 0.006, -0.012], [-0.004, 0.006, -0.012]])
    seat = GlassesSeat(eyes, marks[:, NOSE_BRIDGE], ears, torch.ones_like(eyes[:, 0, 0]))
    rims, temples, bridge = frame_grids(p.glasses, seat)
    worn, dark = p.on_nose.unbind(1)
    inner = outline(p.glasses, torch.zeros(len(eyes), OUTLINE + 1, device=eyes.device))
    share = torch.tensor([0.01, 1.0], device=eyes.device)[:, None, None]
    frame, lens = (p.glasses_colours[:, k, None, None] for k in (0, 1))
    grids = [*rims, *(vertices for vertices, _ in temples), bridge[0]]
    parts = [_grid(grid, FaceClass.GLASSES, frame, worn, 0.7) for grid in grids]
    for side in (0, 1):
        flat = inner[:, None] * share
        glass = seat.place(p.glasses, flat, torch.zeros_like(flat[..., 0]), side)
        parts.append(_grid(glass, FaceClass.GLASSES, lens, worn * dark, 1.0))
    return parts


def _lump(p: WornParameters, marks: Tensor) -> WornMesh:
    """A superellipsoid before the face of landmarks (N, 68, 3)."""
    a = _round(marks.device)
    down = torch.linspace(0.0, torch.pi, ROWS, device=marks.device)[:, None]
    power = p.lump_square[:, None, None]

    def bent(value: Tensor) -> Tensor:
        return value.sign() * value.abs().clamp(min=1e-6) ** power

    grid = torch.stack(torch.broadcast_tensors(bent(down.sin()) * bent(a.sin()), bent(down.cos()),
                                               bent(down.sin()) * bent(a.cos())), -1)  # fmt: skip
    turn = rotation_from_euler(p.lump_turn)
    at = (marks * p.lump_at[..., None]).sum(1) + p.lump_shift
    points = torch.einsum("nij,nrcj->nrci", turn, grid * p.lump_half[:, None, None]) + at[:, None, None]
    return _grid(points, FaceClass.OCCLUDER, p.lump_colour[:, None, None], p.lump, 0.2)
