"""Sets of scans: MICC Florence, BU-3DFE, NoW, REALY; meshes of face models.

Meshes and points in the sets' files: OBJ, VRML, MeshLab's picked points.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np

from backend.geometry.closest import TriangleMesh
from trainer.engine.disk_cache import LeftOut
from trainer.heads.dressed import BRIDGE, NOSE_TIP
from trainer.heads.population import Carrier, carrier_of
from trainer.heads.surface import find_surface_landmarks
from trainer.measures.estimate import ALIGNMENT_LANDMARKS
from trainer.sets.annotated import VIDEOS, matlab, spread
from trainer.sets.reader import PICTURES, Item, Licence, Reader, files_below, key_of

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def read_mesh(path: Path, metres_per_unit: float = 1.0) -> TriangleMesh:
    """Read a mesh by its ending; vertices in metres. Raises ``ValueError`` for what is not a mesh of triangles."""
    text = path.read_text(encoding="utf-8", errors="replace")
    kinds = {".obj": _obj, ".wrl": _vrml}
    vertices, faces = kinds[path.suffix.lower()](text)
    if not len(vertices) or not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"{path.name} holds no whole mesh")
    if not np.isfinite(vertices).all():
        raise ValueError(f"{path.name} holds vertices that are not numbers")
    return TriangleMesh(vertices * metres_per_unit, faces)


def write_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """Write vertices (V, 3) and triangles (T, 3) as OBJ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, vertices, "v %.6f %.6f %.6f")
        np.savetxt(file, triangles + 1, "f %d %d %d")


def _obj(text: str) -> tuple[np.ndarray, np.ndarray]:
    vertices = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    polygons = []
    for line in text.splitlines():
        if line.startswith("f "):
            corners = [int(corner.split("/")[0]) for corner in line.split()[1:]]
            polygons.append([corner - 1 if corner > 0 else len(vertices) + corner for corner in corners])
    return np.array(vertices, np.float64).reshape(-1, 3), _fans(polygons)


def _vrml(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The points of the first ``Coordinate`` (not of a ``TextureCoordinate``), and ``coordIndex [...]``, of VRML."""
    points = re.search(r"\bCoordinate\s*\{\s*point\s*\[([^\]]*)\]", text)
    index = re.search(r"\bcoordIndex\s*\[([^\]]*)\]", text)
    if points is None or index is None:
        raise ValueError("the VRML file has no points or no faces")
    vertices = np.array(re.findall(_NUMBER, points[1]), np.float64)
    polygons: list[list[int]] = [[]]
    for corner in map(int, re.findall(r"-?\d+", index[1])):
        if corner < 0:
            polygons.append([])
        else:
            polygons[-1].append(corner)
    return vertices[: len(vertices) // 3 * 3].reshape(-1, 3), _fans(polygons)


def _fans(polygons: Iterable[list[int]]) -> np.ndarray:
    """(T, 3) triangles of polygons."""
    fans = [(one[0], one[k], one[k + 1]) for one in polygons for k in range(1, len(one) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


def picked_points(path: Path) -> np.ndarray:
    """(N, 3) points of a MeshLab ``.pp`` file, in its order."""
    picked = ElementTree.fromstring(path.read_text("utf-8", "replace")).iter("point")
    points = [[float(point.attrib[axis]) for axis in "xyz"] for point in picked]
    return np.array(points, np.float64).reshape(-1, 3)


_CAGE = "(V, 3) float32 metres, our template's vertices in its frame"
MILLIMETRE = 0.001
FRAMES = 8
"""Frames per video of MICC that are measured, spread over it."""
SCAN_FIELDS = {
    "vertices": "(V, 3) float32 metres, the face looks along z",
    "triangles": "(T, 3) int32",
    "seven": "(7, 3) corners of the right eye (outer, inner), of the left (inner, outer), base of the nose, corners of "
    "the mouth (right, left)",
    "nose_tip": "(3,)",
    "bridge": "(3,) between the eyes",
    "photos": "(P,) paths below the set's folder, and #K for frame K of a video",
    "groups": "(P,) the condition of each photo",
}


def seven_of(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seven points, nose tip and bridge that our detector finds on renderings of a scan that looks along z."""
    try:
        marks = find_surface_landmarks(mesh.vertices, mesh.triangles, mesh.vertices.mean(0))
    except ValueError as error:
        raise LeftOut("no face found on the scan") from error
    wanted = [*ALIGNMENT_LANDMARKS, NOSE_TIP, BRIDGE]
    if not marks.found[wanted].all():
        raise LeftOut("the scan has holes at the eyes, nose or mouth")
    return tuple(marks.positions[index] for index in (list(ALIGNMENT_LANDMARKS), NOSE_TIP, BRIDGE))


def scan_arrays(
    mesh: TriangleMesh, seven: tuple[np.ndarray, np.ndarray, np.ndarray], photos: list[str], groups: list[str]
) -> dict[str, np.ndarray]:
    """Arrays of ``SCAN_FIELDS``."""
    return {
        "vertices": mesh.vertices.astype(np.float32),
        "triangles": mesh.triangles.astype(np.int32),
        "seven": seven[0].astype(np.float32),
        "nose_tip": seven[1].astype(np.float32),
        "bridge": seven[2].astype(np.float32),
        "photos": np.array(photos, dtype=str),
        "groups": np.array(groups, dtype=str),
    }


class FaceModel(Reader):
    """The Basel face model as face3d has it (``BFM.mat``), carried onto our head."""

    name = "face_model"
    title = "Basel face model (face3d's BFM.mat)"
    licence = Licence("BFM's: research only", True, "faces.dmi.unibas.ch/bfm")
    needs = ("**/BFM.mat",)
    unchecked = "how well cheeks and forehead correspond: points of a smooth surface are told apart by its landmarks"
    fields: ClassVar[Mapping[str, str]] = {
        "neutral": f"{_CAGE} of the mean",
        "identity": "(K, V, 3) metres per unit of Shape_Para",
        "expression": "(E, V, 3) metres per unit of Exp_Para",
        "rotation": "(3, 3) from the head's frame to the model's",
        "translation": "(3,) metres",
        "unit": "() metres of the model's unit",
    }

    def items(self, root: Path) -> Iterator[Item]:
        """The one model."""
        yield Item("model", "model", {"model": sorted(root.glob(self.needs[0]))[0]})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        model = matlab(item.files["model"])["model"][0, 0]
        mean = (model["shapeMU"] + model["expMU"]).astype(np.float64).reshape(-1, 3)
        triangles = model["tri"].astype(np.int64) - 1
        modes = [model[name].T.astype(np.float32).reshape(-1, len(mean), 3) for name in ("shapePC", "expPC")]
        del model
        carrier = carrier_of(TriangleMesh(mean, triangles.T if len(triangles) == 3 else triangles))
        identity, expression = (carrier.offsets(part).astype(np.float32) for part in modes)
        return {
            "neutral": carrier.whole(mean).astype(np.float32),
            "identity": identity,
            "expression": expression,
            "rotation": carrier.rotation,
            "translation": carrier.translation,
            "unit": np.array(carrier.unit),
        }


class Flame(Reader):
    """Heads in one topology, FLAME's or another: ``head_template.obj`` and other OBJ with its vertices."""

    name = "flame"
    title = "heads in FLAME's topology"
    licence = Licence("FLAME's: research only", True, "flame.is.tue.mpg.de")
    needs = ("**/head_template.obj", "**/*.obj")
    unchecked = FaceModel.unchecked
    fields: ClassVar[Mapping[str, str]] = {"neutral": _CAGE}

    def items(self, root: Path) -> Iterator[Item]:
        """Every mesh; the first folder is the person."""
        template = sorted(root.glob(self.needs[0]))[0]
        for path in files_below(root, ".obj"):
            if path != template:
                yield Item(key_of(path, root), path.relative_to(root).parts[0], {"mesh": path, "template": template})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        carrier, mesh = _carrier_of(item.files["template"]), read_mesh(item.files["mesh"])
        if mesh.vertices.shape != carrier.mesh.shape:
            raise LeftOut("has another topology than head_template.obj")
        return {"neutral": carrier.whole(mesh.vertices).astype(np.float32)}


@lru_cache(maxsize=1)
def _carrier_of(template: Path) -> Carrier:
    return carrier_of(read_mesh(template))


class _WithPhotos(Reader):
    """A scan per item, and photos of the same person in groups."""

    fields = SCAN_FIELDS

    def below(self, path: Path) -> str:
        """A path as it is stored."""
        return path.relative_to(self.root).as_posix()


class Micc(_WithPhotos):
    """MICC Florence 2D/3D faces (Bagdanov et al. 2011): ``subject_01/Model/frontal1/obj/*.obj`` in millimetres, and
    videos or frames in ``Indoor-Cooperative``, ``PTZ-Indoor`` and ``PTZ-Outdoor``, or ``Cooperative`` and so on."""

    name = "micc"
    title = "MICC Florence"
    licence = Licence("on request, research only", True, "www.micc.unifi.it/resources/datasets/florence-3d-faces")
    needs = ("**/subject_*/**/*.obj", "**/subject_*/**/*Cooperative")
    unchecked = (
        "the names of the folders of videos, and where a scan's landmarks lie: the set has none, so our detector finds "
        "them on renderings of the scan"
    )
    conditions = ("Cooperative", "Indoor", "Outdoor")

    def items(self, root: Path) -> Iterator[Item]:
        """The first frontal scan of each subject."""
        for folder in sorted({path for path in root.glob("**/subject_*") if path.is_dir()}):
            scans = files_below(folder, ".obj")
            frontal = [path for path in scans if "frontal" in path.as_posix().lower()]
            if scans:
                yield Item(folder.name, folder.name, {"scan": (frontal or scans)[0]})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        mesh = read_mesh(item.files["scan"], MILLIMETRE)
        subject = next(folder for folder in item.files["scan"].parents if folder.name == item.person)
        photos, groups = [], []
        for path in files_below(subject, *VIDEOS, *PICTURES):
            inside = "/".join(path.relative_to(subject).parts[:-1]).lower()
            group = next((name for name in self.conditions if name.lower() in inside), None)
            if group is None:
                continue
            names = (
                [f"{self.below(path)}#{k}" for k in range(FRAMES)]
                if path.suffix.lower() in VIDEOS
                else [self.below(path)]
            )
            photos += names
            groups += [group] * len(names)
        chosen = []
        for group in self.conditions:
            rows = [k for k, name in enumerate(groups) if name == group]
            chosen += rows if any("#" in photos[k] for k in rows) else [rows[k] for k in spread(len(rows), FRAMES)]
        if not chosen:
            raise LeftOut("no video or frame of the subject")
        return scan_arrays(mesh, seven_of(mesh), [photos[k] for k in chosen], [groups[k] for k in chosen])


class Bu3dfe(_WithPhotos):
    """BU-3DFE (Yin et al., FG 2006): ``F0001/F0001_AN01WH_F3D.wrl`` in millimetres with ``_F2D.bmp``."""

    name = "bu3dfe"
    title = "BU-3DFE"
    licence = Licence(
        "Binghamton University's agreement: research only", True, "www.cs.binghamton.edu/~lijun/Research/3DFE"
    )
    needs = ("**/*_F3D.wrl", "**/*_F2D.bmp")
    unchecked = "the order of the 83 landmarks in .bnd files, which are not read: our detector finds the seven points"
    form = re.compile(r"([FM]\d{4})_([A-Z]{2})(\d{2})[A-Z]{2}_F3D", re.IGNORECASE)

    def items(self, root: Path) -> Iterator[Item]:
        """Every scan; the group is its expression and intensity (``NE00``)."""
        for path in files_below(root, ".wrl", match="*_F3D.wrl"):
            parts = self.form.fullmatch(path.stem)
            if parts:
                photo = path.with_name(path.name.replace("_F3D.wrl", "_F2D.bmp"))
                yield Item(path.stem.removesuffix("_F3D"), parts[1], {"scan": path, "photo": photo})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        mesh = read_mesh(item.files["scan"], MILLIMETRE)
        group = "".join(self.form.fullmatch(item.files["scan"].stem).group(2, 3))
        return scan_arrays(mesh, seven_of(mesh), [self.below(item.files["photo"])], [group])


class Now(_WithPhotos):
    """NoW (Sanyal et al., CVPR 2019), validation part: ``imagepathsvalidation.txt``, ``scans/ID/*.obj`` in millimetres,
    ``scans_lmks_onlypp/ID/*.pp`` with seven points, pictures below ``iphone_pictures``."""

    name = "now"
    title = "NoW, validation part"
    licence = Licence("RingNet's: research only", True, "now.is.tue.mpg.de")
    needs = ("**/imagepathsvalidation.txt", "**/scans", "**/scans_lmks_onlypp")
    unchecked = "the folder of the pictures (iphone_pictures is looked for first), and that a scan looks along z"

    def items(self, root: Path) -> Iterator[Item]:
        """The subjects of the list, each with all of its pictures."""
        scans, points = (sorted(root.glob(name))[0] for name in self.needs[1:])
        for subject, files in now_pictures(root, self.needs[0]).items():
            files["scan"] = next(iter(sorted((scans / subject).glob("*.obj"))), scans / subject / "scan.obj")
            files["points"] = next(iter(sorted((points / subject).glob("*.pp"))), points / subject / "scan.pp")
            yield Item(subject, subject, files)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``. The nose tip is the centre of NoW's crop: a third of the nose above its base."""
        mesh = read_mesh(item.files["scan"], MILLIMETRE)
        seven = picked_points(item.files["points"])[:7] * MILLIMETRE
        if seven.shape != (7, 3):
            raise LeftOut("not seven points on the scan")
        bridge = seven[1:3].mean(0)
        centre = seven[4] + 0.3 * (bridge - seven[4])
        photos = [path for name, path in item.files.items() if name.startswith("photo")]
        groups = [path.parent.name for path in photos]
        return scan_arrays(mesh, (seven, centre, bridge), [self.below(path) for path in photos], groups)


def now_pictures(root: Path, listing: str) -> dict[str, dict[str, Path]]:
    """NoW's pictures by subject, named ``photo0`` and so on, in the order of a list below ``root``."""
    path = sorted(root.glob(listing))[0]
    folder = next(iter(sorted(root.glob("**/iphone_pictures"))), path.parent)
    subjects: dict[str, dict[str, Path]] = {}
    for line in path.read_text(encoding="utf-8").split():
        pictures = subjects.setdefault(line.split("/")[-3], {})
        pictures[f"photo{len(pictures)}"] = folder.joinpath(*line.split("/")[-3:])
    return subjects


class NowTest(_WithPhotos):
    """NoW, test part: ``imagepathstest.txt`` and the pictures; its scans are the organisers' alone."""

    name = "now_test"
    title = "NoW, test part"
    licence, unchecked = Now.licence, Now.unchecked
    needs = ("**/imagepathstest.txt", "**/iphone_pictures")
    fields: ClassVar[Mapping[str, str]] = {"photos": SCAN_FIELDS["photos"]}

    def items(self, root: Path) -> Iterator[Item]:
        """The subjects of the list, each with all of its pictures."""
        for subject, files in now_pictures(root, self.needs[0]).items():
            yield Item(subject, subject, files)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        return {"photos": np.array([self.below(path) for path in item.files.values()], dtype=str)}


class Realy(Reader):
    """REALY (Chai et al., ECCV 2022): ``REALY_HIFI3D_keypoints/ID.obj``, ``REALY_scan_region/ID/{nose,...}.obj``,
    pictures ``ID.png`` (or ``ID_VIEW.png``), and ``metrical_scale.txt`` with millimetres per unit."""

    name = "realy"
    title = "REALY"
    licence = Licence("Headspace's: research only", True, "www.realy3dface.com")
    needs = ("**/REALY_HIFI3D_keypoints", "**/REALY_scan_region", "**/metrical_scale.txt")
    unchecked = "the pictures' folder and names, and the keypoints beyond iBUG's 68, which are not used"
    regions = ("nose", "mouth", "forehead", "cheek")
    fields: ClassVar[Mapping[str, str]] = {
        "keypoints": "(85, 3) in the set's unit; the first 68 are iBUG's",
        "scale": "() millimetres per unit",
        "photos": "(P,) paths below the set's folder",
        **{
            f"{region}.{part}": shape
            for region in regions
            for part, shape in (("vertices", "(V, 3)"), ("triangles", "(T, 3)"))
        },
    }

    def items(self, root: Path) -> Iterator[Item]:
        """Every person with keypoints and a picture."""
        keypoints, scans, scale = (sorted(root.glob(name))[0] for name in self.needs)
        pictures: dict[str, list[Path]] = {}
        for path in files_below(root, *PICTURES):
            number = re.fullmatch(r"(\d+)(_\d+)?", path.stem)
            if number and not any("depth" in part.lower() for part in path.relative_to(root).parts):
                pictures.setdefault(number[1], []).append(path)
        for path in sorted(keypoints.glob("*.obj"), key=lambda path: path.stem.zfill(4)):
            files = {region: scans / path.stem / f"{region}.obj" for region in self.regions}
            photos = pictures.get(path.stem, [root / f"{path.stem}.png"])
            files |= {"keypoints": path, "scale": scale} | {f"photo{k}": photo for k, photo in enumerate(photos)}
            yield Item(path.stem, path.stem, files)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        scales = np.loadtxt(item.files["scale"], ndmin=1)
        if not 1 <= int(item.key) <= len(scales):
            raise LeftOut("has no line in metrical_scale.txt")
        lines = item.files["keypoints"].read_text(encoding="utf-8").splitlines()
        points = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64)
        if points.shape != (85, 3):
            raise LeftOut("not 85 keypoints")
        arrays = {"keypoints": points, "scale": np.array(scales[int(item.key) - 1])}
        for region in self.regions:
            mesh = read_mesh(item.files[region])
            arrays |= {f"{region}.vertices": mesh.vertices, f"{region}.triangles": mesh.triangles.astype(np.int32)}
        photos = [path for name, path in item.files.items() if name.startswith("photo")]
        arrays["photos"] = np.array([path.relative_to(self.root).as_posix() for path in photos], dtype=str)
        return arrays
