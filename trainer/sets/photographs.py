"""Sets of photographs and clips without truth: people in folders, CelebA, VoxCeleb."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2

from backend.errors import LikenessError
from backend.expression.video import Video
from protocol.photo_folder import PHOTO_SUFFIXES
from trainer.sets.reader import PICTURES, Item, LeftOut, Licence, Reader, SetError, files_below, key_of

FRAMES = 4
"""Frames of a clip: N_f of the learned basis' paper."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


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
        splits = [path.read_text(encoding="utf-8") for path in sorted(root.glob("**/list_eval_partition.txt"))]
        held = {line.split()[0] for text in splits for line in text.splitlines() if line.endswith(" 2")}
        for number, line in enumerate(lists[0].read_text(encoding="utf-8").splitlines(), 1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2:
                raise SetError(f"{lists[0]} is damaged in line {number}: {line[:60]!r} is not a file and a person.")
            if parts[0] in held:
                continue  # the set's own test part
            yield Item(Path(parts[0]).stem, parts[1], {"photo": pictures / parts[0]})


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
