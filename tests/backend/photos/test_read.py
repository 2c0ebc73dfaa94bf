"""Reading photo files: formats, modes, depths, orientation, colour profiles, limits, and everything that is wrong."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_photos import encoded
from PIL import Image, ImageCms

from backend.command_line.photo_paths import check_there_are, find_photos
from backend.errors import LikenessError
from backend.photos.collect import collect
from backend.photos.collection import FORMATS_TEXT, PhotoSource, PhotoUnreadableError, ReadLimits
from backend.photos.reading import read_photo, without_screen
from protocol.photo_folder import FORMAT_SUFFIXES

ORIENTATION = 0x0112
TURNS = {  # EXIF orientation -> what the camera did to the upright picture
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
}
NO_PICTURE = b"not a picture"


def read(data: bytes, limits: ReadLimits | None = None) -> np.ndarray:
    return read_photo(PhotoSource("x", data), limits).pixels


def refusal(data: bytes, limits: ReadLimits | None = None) -> str:
    with pytest.raises(PhotoUnreadableError) as caught:
        read(data, limits)
    return str(caught.value)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 0), ("TIFF", 0), ("BMP", 0), ("JPEG", 2), ("WEBP", 3)])
def test_formats(kind: str, tolerance: float, synthetic_picture: np.ndarray) -> None:
    settings = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    assert difference(read(encoded(synthetic_picture, kind, **settings)), synthetic_picture) <= tolerance


def test_heic(synthetic_picture: np.ndarray) -> None:
    pytest.importorskip("pillow_heif")
    assert difference(read(encoded(synthetic_picture, "HEIF", quality=95)), synthetic_picture) < 3


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(kind: str, orientation: int, synthetic_picture: np.ndarray) -> None:
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](synthetic_picture)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    settings = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    photo = read_photo(PhotoSource("x", encoded(stored, kind, exif=exif, **settings)))
    assert photo.source_size == (320, 240)
    assert photo.pixels.shape == synthetic_picture.shape
    assert difference(photo.pixels, synthetic_picture) < 4


def test_heic_orientation_is_undone_once(synthetic_picture: np.ndarray) -> None:
    pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stored = Image.fromarray(np.ascontiguousarray(TURNS[6](synthetic_picture)))
    photo = read_photo(PhotoSource("x", encoded(stored, "HEIF", quality=95, exif=exif.tobytes())))
    assert photo.source_size == (320, 240)
    assert difference(photo.pixels, synthetic_picture) < 4


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("LAB", "TIFF")])
def test_colour_modes(mode: str, kind: str, synthetic_picture: np.ndarray) -> None:
    image = Image.fromarray(synthetic_picture)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
        data = encoded(image, kind, icc_profile=ImageCms.ImageCmsProfile(profiles[1]).tobytes())
    else:
        data = encoded(image.quantize(256) if mode == "P" else image.convert(mode), kind)
    assert difference(read(data), synthetic_picture) < 14


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16", "F"])
def test_grey_of_any_depth(mode: str, synthetic_picture: np.ndarray) -> None:
    grey = Image.fromarray(synthetic_picture).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    else:
        image = grey.convert(mode)
    pixels = read(encoded(image, "TIFF" if mode == "F" else "PNG"))
    assert pixels.shape == (240, 320, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    blurred = cv2.blur(pixels[..., 0], (31, 31)).astype(float)
    assert np.abs(blurred - cv2.blur(np.asarray(grey), (31, 31))).mean() < (8 if mode == "1" else 1.5)


@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_colour_with_16_bits(kind: str, synthetic_picture: np.ndarray) -> None:
    deep = synthetic_picture[..., ::-1].astype(np.uint16) * 257
    assert difference(read(cv2.imencode(kind, deep)[1].tobytes()), synthetic_picture) < 1


def test_transparent_pixels_become_grey(synthetic_picture: np.ndarray) -> None:
    alpha = np.full((240, 320, 1), 255, np.uint8)
    alpha[:100] = 0
    pixels = read(encoded(np.concatenate([synthetic_picture, alpha], axis=2)))
    assert (pixels[:100] == 128).all()
    assert (pixels[100:] == synthetic_picture[100:]).all()


def test_palette_with_transparency(synthetic_picture: np.ndarray) -> None:
    image = Image.fromarray(synthetic_picture).quantize(16)
    first = int(np.asarray(image)[0, 0])
    pixels = read(encoded(image, "PNG", transparency=first))
    assert (pixels[0, 0] == 128).all()


def test_icc_profile_is_applied(synthetic_picture: np.ndarray) -> None:
    """A profile whose red and green primaries are exchanged shows red where the file says green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    pixels = read(encoded(synthetic_picture, "PNG", icc_profile=bytes(profile)))
    assert difference(pixels, synthetic_picture[..., [1, 0, 2]]) < 2


def test_srgb_and_broken_profiles_change_nothing(synthetic_picture: np.ndarray) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (read(encoded(synthetic_picture, "PNG", icc_profile=srgb)) == synthetic_picture).all()
    assert (read(encoded(synthetic_picture, "PNG", icc_profile=b"no profile" * 20)) == synthetic_picture).all()


def test_one_pixel() -> None:
    photo = read_photo(PhotoSource("x", encoded(np.full((1, 1, 3), 77, np.uint8))))
    assert photo.source_size == (1, 1)
    assert photo.pixels.tolist() == [[[77, 77, 77]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_20000_pixels_wide_is_reduced(kind: str) -> None:
    image = Image.linear_gradient("L").resize((20_000, 2_000))
    limits = ReadLimits(kept_pixels=4_000_000)
    photo = read_photo(PhotoSource("x", encoded(image, kind)), limits)
    assert photo.source_size == (20_000, 2_000)
    height, width = photo.pixels.shape[:2]
    assert 1_000_000 < width * height <= limits.kept_pixels
    assert width / height == pytest.approx(10, rel=0.01)
    assert photo.pixels[-1].mean() - photo.pixels[0].mean() > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_truncated_files_are_told_from_others(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    text = refusal(data[: len(data) // 2])
    assert "again" in text
    assert text.endswith(".")


def test_every_prefix_of_a_file_is_answered(synthetic_picture: np.ndarray) -> None:
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        data = encoded(synthetic_picture, kind)
        for length in np.linspace(0, len(data) - 1, 40).astype(int):
            try:
                assert read(data[:length]).shape == (240, 320, 3)  # a few bytes at the end may not matter
            except PhotoUnreadableError as error:
                assert str(error)[-1] == "."


def test_what_is_no_picture() -> None:
    assert "not a picture" in refusal(b"plain text, no picture " * 10)
    assert "empty" in refusal(b"")
    assert "limit" in refusal(b"\0" * 2000, ReadLimits(max_file_bytes=1999))


def test_paths(tmp_path: Path, synthetic_picture: np.ndarray) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(synthetic_picture))
    source = PhotoSource.from_path(file)
    assert source.name == "a.png"
    assert (read_photo(source).pixels == synthetic_picture).all()
    for bad, word in ((tmp_path / "none.jpg", "no such file"), (tmp_path, "folder")):
        with pytest.raises(PhotoUnreadableError, match=word):
            read_photo(PhotoSource.from_path(bad))
    with pytest.raises(PhotoUnreadableError, match="limit"):
        read_photo(source, ReadLimits(max_file_bytes=10))


def test_a_source_is_either_bytes_or_a_path() -> None:
    with pytest.raises(ValueError, match="either"):
        PhotoSource("x")
    with pytest.raises(ValueError, match="either"):
        PhotoSource("x", b"1", Path("x"))


def photo_with_exif(size: tuple[int, int], orientation: int = 1, **tags: float) -> float | None:
    numbers = {"mm35": 0xA405, "mm": 0x920A, "width": 0xA002, "height": 0xA003, "plane": 0xA20E, "unit": 0xA210}
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(0x8769).update({numbers[name]: value for name, value in tags.items()})
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JPEG", exif=exif)
    return read_photo(PhotoSource("x", buffer.getvalue())).focal_px


def test_focal_length_from_the_35_mm_equivalent() -> None:
    whole = photo_with_exif((600, 400), mm35=50, width=600, height=400)
    assert whole == pytest.approx(600 * 50 / 36, rel=1e-3)
    reduced = photo_with_exif((300, 200), mm35=50, width=6000, height=4000)
    assert reduced == pytest.approx(300 * 50 / 36, rel=1e-3)
    phone = photo_with_exif((400, 300), mm35=26)
    assert phone == pytest.approx(500 * 26 / 43.267, rel=1e-3)
    turned = photo_with_exif((400, 300), orientation=6, mm35=26, width=400, height=300)
    assert turned == pytest.approx(phone)


def test_focal_length_from_the_sensor() -> None:
    found = photo_with_exif((600, 400), mm=50.0, plane=6000 / 36.0 * 25.4, unit=2, width=6000, height=4000)
    assert found == pytest.approx(600 * 50 / 36, rel=1e-2)


def test_no_focal_length_for_crops_and_nonsense() -> None:
    assert photo_with_exif((500, 400), mm35=50, width=600, height=400) is None
    assert photo_with_exif((400, 400), mm35=50) is None
    assert photo_with_exif((600, 400), width=600, height=400) is None
    assert photo_with_exif((600, 400), mm35=50, width=300, height=200) is None
    assert photo_with_exif((600, 400), mm35=5000) is None


def no_photo_in_a_folder(folder: Path) -> None:
    find_photos([folder])


def no_such_photo(folder: Path) -> None:
    check_there_are([("a.jpg", folder / "a.jpg")])


def no_photo_that_can_be_read(folder: Path) -> None:
    collect([PhotoSource("a.jpg", data=NO_PICTURE)])


def test_every_format_is_named_once_by_one_of_its_endings() -> None:
    named = re.split(r", | or ", FORMATS_TEXT)
    assert len(set(named)) == len(named)
    for name, endings in FORMAT_SUFFIXES.items():
        assert name == "MPO" or {f".{said.lower()}" for said in named} & set(endings), name


@pytest.mark.parametrize("fail", [no_photo_in_a_folder, no_such_photo, no_photo_that_can_be_read])
def test_the_advice_names_every_format(fail: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(LikenessError) as caught:
        fail(tmp_path)
    assert caught.value.code == "no_photo"
    assert caught.value.advice == f"Give {FORMATS_TEXT} files."


def test_a_photo_of_a_print_loses_its_dots() -> None:
    y, x = np.mgrid[:300, :300] / 1.0
    plain = np.repeat(60 + 0.4 * x[..., None], 3, axis=2).astype(np.uint8)
    dots = 38 * np.cos(1.2 * x + 0.3 * y) + 38 * np.cos(0.3 * x - 1.2 * y)
    cleaned = without_screen((plain + dots[..., None]).clip(0, 255).astype(np.uint8)).astype(float)
    assert np.abs(cleaned - plain)[40:-40, 40:-40].mean() < 2 and without_screen(plain) is plain
