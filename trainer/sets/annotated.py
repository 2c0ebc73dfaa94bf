"""Readers of pictures: people's photographs, CelebA, VoxCeleb's clips; pictures with truth: landmarks, depth, masks."""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from PIL import Image
from scipy.io import loadmat, whosmat
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression.video import Video
from backend.photos.collection import FaceClass, PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from protocol.photo_folder import PHOTO_SUFFIXES
from trainer.engine.disk_cache import LeftOut, SetError
from trainer.sets.reader import PICTURES, Item, Licence, Reader, files_below, key_of

FRAMES = 4
"""Frames of a clip: N_f of the learned basis' paper."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
NEAREST, FARTHEST = 0.9, 1.1
"""Depths between which Unsup3D's renderings are stored, in LAP's unit."""
PICTURE = "(H, W, 3) uint8 sRGB"
LANDMARKS = 68
_LARGEST = 512
"""Side in pixels to which pictures with truth are reduced; twice the largest picture that a table's network takes."""
CROP = 170
"""Pixels a side of the middle of synface's pictures of 256 that Unsup3D measures (its experiments/test_synface.yml)."""


class People(Reader):
    """Any folder of photographs; a sub-folder is one person, and so is a picture that lies beside these."""

    name = "people"
    title = "photographs of people"
    licence = Licence("the photographs' own", False, "your own collection")
    needs = ("*",)
    unchecked = "nothing; whether you may train on these photographs is for you to know"

    def items(self, root: Path) -> Iterator[Item]:
        """Every picture; the first level is the person."""
        for path in files_below(root, *PHOTO_SUFFIXES):
            yield Item(key_of(path, root), path.relative_to(root).parts[0], {"photo": path})


class CelebA(Reader):
    """CelebA (Liu et al., ICCV 2015): pictures in one folder, people in ``identity_CelebA.txt``; without the test part
    of ``list_eval_partition.txt`` where that is."""

    name = "celeba"
    title = "CelebA"
    licence = Licence("non-commercial research only", True, "mmlab.ie.cuhk.edu.hk/projects/CelebA.html")
    needs = ("**/img_*celeba*", "**/identity_CelebA.txt")
    unchecked = "that all 202,599 pictures of img_align_celeba or img_celeba are listed in identity_CelebA.txt"

    def items(self, root: Path) -> Iterator[Item]:
        """The lines ``FILE PERSON`` of the list, in its order."""
        lists = sorted(root.glob("**/identity_CelebA.txt"))
        folders = sorted(path for path in root.glob("**/img_*celeba*") if path.is_dir())
        if not folders:
            raise SetError(f"{root} is not {self.title}: its pictures are still packed.", "Unpack img_align_celeba.")
        first = next(iter(lists[0].read_text(encoding="utf-8").split()), "")  # the PNG version keeps the list's names
        pictures = next((folder for folder in folders if (folder / first).is_file()), folders[-1])
        held = test_part(root)
        for number, line in enumerate(lists[0].read_text(encoding="utf-8").splitlines(), 1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2:
                raise SetError(f"{lists[0]} is damaged in line {number}: {line[:60]!r} is not a file and a person.")
            if parts[0] in held:
                continue  # the set's own test part
            yield Item(Path(parts[0]).stem, parts[1], {"photo": pictures / parts[0]})


def test_part(root: Path) -> set[str]:
    """Files of CelebA's own test part, whose people are in no other part; empty without its list."""
    splits = [path.read_text(encoding="utf-8") for path in sorted(root.glob("**/list_eval_partition.txt"))]
    return {line.split()[0] for text in splits for line in text.splitlines() if line.endswith(" 2")}


class VoxCeleb(Reader):
    """VoxCeleb2 (Chung et al., 2018): ``SPEAKER/VIDEO/00001.mp4``, or folders of frames; VoxCeleb1 (Nagrani et al.,
    2017): ``unzippedFaces/NAME/1.6/VIDEO/0000375.jpg``.

    A set of photos is a clip; the number of a clip keeps its speaker's last digit, so that no speaker is in both the
    training part and the held-out one.
    """

    name = "voxceleb"
    title = "VoxCeleb clips"
    licence = Licence(
        "CC BY 4.0 for the lists; the videos are YouTube's", True, "www.robots.ox.ac.uk/~vgg/data/voxceleb"
    )
    needs = ("**/*/*/*",)
    unchecked = "the videos' codec, and the frame rate of the published face tracks"

    def items(self, root: Path) -> Iterator[Item]:
        """``FRAMES`` frames of each clip, spread over it: of a video, or of a folder of pictures."""
        clips: dict[Path, list[Path]] = {}
        for path in files_below(root, *VIDEOS, *PICTURES):
            if self._speaker(path, root):
                clips.setdefault(path if path.suffix.lower() in VIDEOS else path.parent, []).append(path)
        for clip, files in clips.items():
            chosen = files * FRAMES if len(files) == 1 else [files[k] for k in spread(len(files), FRAMES)]
            key = key_of(clip, root)
            for number, path in enumerate(chosen):
                yield Item(f"{key}_{number}", f"{self._speaker(path, root)}/{key}", {"photo": path})

    def photo(self, item: Item, scratch: Path) -> Path:
        """The frame, read from its video where it is not a picture."""
        path = item.files["photo"]
        if path.suffix.lower() not in VIDEOS:
            return path
        return frame_of(path, int(item.key.rpartition("_")[2]), FRAMES, scratch / f"{item.key}.png")

    @staticmethod
    def _speaker(path: Path, root: Path) -> str:
        parts = path.relative_to(root).parts[:-1]
        named = (after for part, after in pairwise(parts) if part.lower() == "unzippedfaces")
        return next((part for part in parts if part.startswith("id") and part[2:].isdecimal()), next(named, ""))


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` numbers below ``count``, evenly spread, each at most once where there are enough."""
    wanted = min(count, wanted)
    return [(2 * k + 1) * count // (2 * wanted) for k in range(wanted)]


def frame_of(video: Path, number: int, of: int, out: Path) -> Path:
    """Write frame ``number`` of ``of`` spread over a video as PNG, once; raises ``LeftOut`` where it has none."""
    if out.is_file():
        return out
    try:
        with Video(video) as film:
            chosen = spread(film.frame_count, of)
            wanted = chosen[min(number, len(chosen) - 1)] if chosen else 0
            for frame in film.frames(max(wanted, 1)):
                pixels = frame.pixels
                if frame.slot >= wanted:
                    break
    except LikenessError as error:
        raise LeftOut(f"{video.name} cannot be played") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), pixels[..., ::-1])
    return out


def pixels_of(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a picture; raises ``LeftOut`` where it cannot be read."""
    try:
        return read_photo(PhotoSource.from_path(path)).pixels
    except PhotoUnreadableError as error:
        raise LeftOut("the picture cannot be read") from error


def plain_picture(path: Path) -> np.ndarray:
    """(H, W) values of a map as it is stored, 8 or 16 bits, without colour management; other forms than PNG may reach
    decoders that are not safe."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return np.asarray(picture if picture.mode == "I;16" else picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LeftOut(f"{path.parent.name}/{path.name} cannot be read as PNG") from error


def reduced(picture: np.ndarray, largest: int = _LARGEST) -> tuple[np.ndarray, float]:
    """The picture with its longer side at most ``largest``, and the factor."""
    factor = min(1.0, largest / max(picture.shape[:2]))
    if factor == 1.0:
        return picture, 1.0
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def matlab(path: Path) -> dict[str, np.ndarray]:
    """The variables of a MATLAB file; raises ``LeftOut`` where it is none."""
    try:
        if any(kind == "struct" and math.prod(shape) != 1 for _, shape, kind in whosmat(str(path))):
            raise ValueError("a damaged count of structures, for which memory would be taken")
        return loadmat(str(path), squeeze_me=False)
    except Exception as error:  # scipy raises anything on damaged files
        raise LeftOut(f"{path.name} is no MATLAB file") from error


class Aflw2000(Reader):
    """AFLW2000-3D (Zhu et al., CVPR 2016): ``image00002.jpg`` with 3DDFA's fit, ``image00002.mat``."""

    name = "aflw2000"
    title = "AFLW2000-3D"
    licence = Licence("AFLW's: research only", True, "www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm")
    needs = ("**/image*.mat",)
    unchecked = "the sign of z in pt3d_68, and the 'reannotated' landmarks, which are not read"
    fields: ClassVar[Mapping[str, str]] = {
        "picture": PICTURE,
        "landmarks": "(68, 3) iBUG landmarks: pixels of the picture, z towards the camera in pixels",
        "angles": "(3,) pitch, yaw, roll in degrees",
    }

    def items(self, root: Path) -> Iterator[Item]:
        """Every MATLAB file and its picture."""
        for path in files_below(root, ".mat", match="image*"):
            yield Item(path.stem, path.stem, {"fit": path, "photo": path.with_suffix(".jpg")})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        fit = matlab(item.files["fit"])
        points = np.asarray(fit.get("pt3d_68", np.zeros((3, 0))), np.float64).T
        angles = np.degrees(np.asarray(fit.get("Pose_Para", ()), np.float32).ravel()[:3])
        if points.shape != (LANDMARKS, 3) or len(angles) != 3:
            raise LeftOut("the fit has no 68 landmarks or no pose")
        picture, factor = reduced(pixels_of(item.files["photo"]))
        return {"picture": picture, "landmarks": (points * factor).astype(np.float32), "angles": angles}


class W300Lp(Reader):
    """300W-LP (Zhu et al., CVPR 2016): ``HELEN/NAME_0.jpg`` and ``.mat``, one person's photo turned to more views."""

    name = "300w_lp"
    title = "300W-LP"
    licence = Licence("300W's: research only", True, "www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm")
    needs = ("**/*_0.mat",)
    unchecked = "that a pixel's middle is a whole number from 1 on, as in MATLAB"
    fields: ClassVar[Mapping[str, str]] = {
        "picture": PICTURE,
        "shape": "(K,) of the face model's identity, in its own unit",
        "expression": "(E,) of its expressions",
        "rotation": "(3, 3) of the model's surface, which looks along z, y up",
        "offset": "(3,) pixels of ``picture``, from 0 at its left and lower edge",
        "scale": "() pixels per unit of the model",
    }
    parts = ("AFW", "HELEN", "IBUG", "LFPW")

    def items(self, root: Path) -> Iterator[Item]:
        """The four parts without their mirror images; a photo's views are one person."""
        for path in files_below(root, ".mat"):
            part = path.parent.name
            if part in self.parts and path.parent.parent.name != "landmarks":
                files = {"fit": path, "photo": path.with_suffix(".jpg")}
                yield Item(f"{part}_{path.stem}", f"{part}_{path.stem.rpartition('_')[0]}", files)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``; ``Shape_Para``, ``Exp_Para`` and ``Pose_Para`` as 3DDFA's and face3d's loaders read them."""
        fit = matlab(item.files["fit"])
        shape, moved, pose = (
            np.asarray(fit.get(f"{name}_Para", ()), np.float32).ravel() for name in ("Shape", "Exp", "Pose")
        )
        if not len(shape) or not len(moved) or len(pose) != 7:
            raise LeftOut("the fit has no shape, expression or pose")
        picture, factor = reduced(pixels_of(item.files["photo"]))
        return {
            "picture": picture,
            "shape": shape,
            "expression": moved,
            "rotation": Rotation.from_euler("XYZ", -pose[:3]).as_matrix(),
            "offset": factor * (pose[3:6] - [0.5, 0.5, 0.0]),
            "scale": np.array(factor * pose[6]),
        }


class W3dfaw(Reader):
    """3DFAW (Jeni et al., ECCV 2016 workshop): ``train_img/NAME.jpg``, ``train_lm/NAME_lm.csv`` of 66 rows x, y, z."""

    name = "3dfaw"
    title = "3DFAW"
    licence = Licence("3DFAW's agreement: research only", True, "mhug.disi.unitn.it/workshop/3dfaw")
    needs = ("**/*_img", "**/*_lm")
    unchecked = "the sign of z, and the landmarks of the test part, which were not published"
    fields: ClassVar[Mapping[str, str]] = {
        "picture": PICTURE,
        "landmarks": "(66, 3) pixels of the picture and depth in the same unit",
    }

    def items(self, root: Path) -> Iterator[Item]:
        """Every file of landmarks and its picture."""
        for path in files_below(root, ".csv", ".txt"):
            if path.parent.name.endswith("_lm"):
                folder = path.parent.with_name(path.parent.name.removesuffix("_lm") + "_img")
                stem = path.stem.removesuffix("_lm")
                photo = next((folder / f"{stem}{end}" for end in PICTURES if (folder / f"{stem}{end}").is_file()), None)
                files = {"landmarks": path, "photo": photo or folder / f"{stem}.jpg"}
                yield Item(key_of(path, root), stem, files)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        text = item.files["landmarks"].read_text(encoding="utf-8")
        numbers = np.array(re.findall(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?", text), np.float64)
        if len(numbers) % 66 or len(numbers) // 66 not in (3, 4):
            raise LeftOut("not 66 landmarks")
        picture, factor = reduced(pixels_of(item.files["photo"]))
        return {"picture": picture, "landmarks": (numbers.reshape(66, -1)[:, -3:] * factor).astype(np.float32)}


class Renderings(Reader):
    """Renderings of a face model with depth, as Unsup3D's synface: ``test/image/NAME.png``, ``test/depth/NAME.png``."""

    name = "bfm"
    title = "renderings with depth (Unsup3D's synface)"
    licence = Licence("BFM's: research only", True, "github.com/elliottwu/unsup3d")
    needs = ("**/image", "**/depth")
    unchecked = "that the background of the real depth maps is exactly their smallest value (it is left out here)"
    fields: ClassVar[Mapping[str, str]] = {
        "picture": PICTURE,
        "depth": "(H, W) float32 in LAP's unit: 1.1 - 0.2 x the stored value in [0, 1]; 0 where there is no face",
    }

    def items(self, root: Path) -> Iterator[Item]:
        """Pictures in folders ``image`` and the maps of the same name in ``depth``; a test part alone if there is
        one."""
        pictures = [path for path in files_below(root, *PICTURES) if "image" in path.relative_to(root).parts[:-1]]
        tests = [path for path in pictures if "test" in path.relative_to(root).parts]
        for path in tests or pictures:
            inside = path.relative_to(root).parts
            picture_folder = len(inside) - 1 - inside[::-1].index("image")
            depth = root.joinpath(*inside[:picture_folder], "depth", *inside[picture_folder + 1 :])
            other = depth.with_name(depth.name.replace("image", "depth"))
            key = key_of(path, root)
            yield Item(key, key, {"photo": path, "depth": other if other.is_file() else depth.with_suffix(".png")})

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        stored = plain_picture(item.files["depth"])
        largest = np.iinfo(stored.dtype).max
        values = stored.astype(np.float64) / largest
        if values.max() == values.min():
            raise LeftOut("the depth map is empty")
        depth = np.where(values > values.min(), FARTHEST - (FARTHEST - NEAREST) * values, 0.0)
        picture = pixels_of(item.files["photo"])
        if picture.shape[:2] != depth.shape:
            raise LeftOut("picture and depth differ in size")
        off = [max(side - CROP, 0) // 2 for side in depth.shape]
        middle = tuple(slice(low, low + CROP) for low in off)
        return {"picture": picture[middle], "depth": depth[middle].astype(np.float32)}


class CelebAMask(Reader):
    """CelebAMask-HQ (Lee et al., CVPR 2020): ``CelebA-HQ-img/0.jpg``, ``CelebAMask-HQ-mask-anno/0/00000_skin.png``;
    the pictures in the test part of CelebA's ``list_eval_partition.txt``, so that none is of a person of ``celeba``."""

    name = "celebamask"
    title = "CelebAMask-HQ"
    licence = Licence("non-commercial research only", True, "github.com/switchablenorms/CelebAMask-HQ")
    needs = (
        "**/CelebA-HQ-img",
        "**/CelebAMask-HQ-mask-anno",
        "**/CelebA-HQ-to-CelebA-mapping.txt",
        "**/list_eval_partition.txt",
    )
    unchecked = "which of the 30,000 pictures lack a mask of skin (they are left out)"
    fields: ClassVar[Mapping[str, str]] = {
        "picture": PICTURE,
        "labels": "(H, W) uint8 of FaceClass, at the masks' size",
        "lips": "(2, H, W) bool, upper and lower lip",
    }
    classes: ClassVar[Mapping[str, FaceClass]] = {
        "neck": FaceClass.NECK,
        "skin": FaceClass.SKIN,
        "l_ear": FaceClass.EARS,
        "r_ear": FaceClass.EARS,
        "nose": FaceClass.SKIN,
        "l_brow": FaceClass.BROWS,
        "r_brow": FaceClass.BROWS,
        "l_eye": FaceClass.EYES,
        "r_eye": FaceClass.EYES,
        "mouth": FaceClass.MOUTH_INTERIOR,
        "u_lip": FaceClass.LIPS,
        "l_lip": FaceClass.LIPS,
        "hair": FaceClass.HAIR,
        "eye_g": FaceClass.GLASSES,
        "hat": FaceClass.OCCLUDER,
        "ear_r": FaceClass.OCCLUDER,
        "neck_l": FaceClass.OCCLUDER,
    }
    """Mask -> our class; later ones cover earlier ones. Cloth stays background."""

    def items(self, root: Path) -> Iterator[Item]:
        """Every picture and the mask of its skin; the other masks may be absent."""
        skins = {path.name.partition("_")[0]: path for path in files_below(root, ".png", match="*_skin.png")}
        anno, mapping = (next(iter(sorted(root.glob(name)))) for name in self.needs[1:3])
        lines = mapping.read_text(encoding="utf-8").splitlines()[1:]  # NUMBER NUMBER_IN_CELEBA FILE_IN_CELEBA
        files, held = {line.split()[0]: line.split()[2] for line in lines if line.strip()}, test_part(root)
        for path in files_below(root, ".jpg", ".png"):
            if path.parent.name == "CelebA-HQ-img" and files.get(path.stem) in held:
                number = int(path.stem)
                default = anno / str(number // 2000) / f"{number:05d}_skin.png"
                skin = skins.get(f"{number:05d}", default)
                masks = {name: skin.with_name(skin.name.replace("_skin.", f"_{name}.")) for name in self.classes}
                found = {name: mask for name, mask in masks.items() if name == "skin" or mask.is_file()}
                yield Item(path.stem, path.stem, {"photo": path} | found)

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """See ``fields``."""
        labels = np.zeros(plain_picture(item.files["skin"]).shape, np.uint8)
        lips = np.zeros((2, *labels.shape), bool)
        for name, kind in self.classes.items():
            if name not in item.files:
                continue
            mask = plain_picture(item.files[name]) > 127
            labels[mask] = int(kind)
            if name in ("u_lip", "l_lip"):
                lips[int(name == "l_lip")] |= mask
        picture = cv2.resize(pixels_of(item.files["photo"]), labels.shape[::-1], interpolation=cv2.INTER_AREA)
        return {"picture": picture, "labels": labels, "lips": lips}
