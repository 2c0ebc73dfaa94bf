"""Photos that say their colours by numbers, and files that hold several pictures."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from made_photos import encoded
from PIL import Image

from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.decoding import color_coding
from backend.photos.reading import read_photo

TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])


@pytest.fixture(scope="module")
def picture(synthetic_picture: np.ndarray) -> np.ndarray:
    """(240, 320, 3) uint8 sRGB, up to white."""
    whole = np.repeat(np.repeat(synthetic_picture, 1, 0), 1, 1).copy()
    whole[200:, 280:] = 255
    return whole


def linear(picture: np.ndarray) -> np.ndarray:
    level = picture / 255.0
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def pq(light: np.ndarray) -> np.ndarray:
    """Signal of SMPTE ST 2084 for linear light, 1 at 203 cd/m2."""
    power = (np.clip(light, 0, 1) * 203 / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    """Signal of BT.2100's hybrid curve for linear light, 1 at 75 %."""
    scene = np.clip(light, 0, 1) * 0.265
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def heif(signal: np.ndarray, primaries: int, transfer: int) -> bytes:
    data = (np.clip(signal, 0, 1) * 65535).astype("<u2").tobytes()
    image = pillow_heif.from_bytes(mode="RGB;16", size=signal.shape[1::-1], data=data)
    buffer = io.BytesIO()
    numbers = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 9}
    image.save(buffer, quality=95, chroma=444, full_range_flag=1, save_nclx_profile=True, **numbers)
    return buffer.getvalue()


def avif(signal: np.ndarray, primaries: int, transfer: int) -> bytes:
    """An AVIF whose box ``colr`` says these numbers."""
    image = Image.fromarray(np.round(np.clip(signal, 0, 1) * 255).astype(np.uint8))
    data = bytearray(encoded(image, "AVIF", quality=95, subsampling="4:4:4"))
    place = data.find(b"colrnclx")
    assert place > 0
    data[place + 8 : place + 12] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def png(signal: np.ndarray, primaries: int, transfer: int) -> bytes:
    """A PNG with a chunk ``cICP`` before its pixels."""
    data = encoded(Image.fromarray(np.round(np.clip(signal, 0, 1) * 255).astype(np.uint8)), "PNG")
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    place = data.find(b"IDAT") - 4
    return data[:place] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + data[place:]


def error(data: bytes, picture: np.ndarray) -> float:
    """Mean difference of the read photo from the sRGB picture, levels of 255."""
    return float(np.abs(read_photo(PhotoSource("a", data)).pixels.astype(float) - picture).mean())


@pytest.mark.parametrize("curve", [(16, pq), (18, hlg)], ids=["pq", "hlg"])
@pytest.mark.parametrize("container", [heif, avif, png])
def test_hdr_photos_without_a_profile_become_srgb(container: object, curve: tuple, picture: np.ndarray) -> None:
    transfer, signal = curve
    wide = signal(linear(picture) @ TO_BT2020.T)
    data = container(wide, 9, transfer)
    assert error(data, picture) < 4.0
    assert np.abs(np.round(255 * wide) - picture).mean() > 20.0  # as it was read before


@pytest.mark.parametrize("container", [heif, avif, png])
def test_p3_by_numbers_becomes_srgb(container: object, picture: np.ndarray) -> None:
    light = linear(picture) @ TO_P3.T
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert error(container(level, 12, 13), picture) < 3.0


@pytest.mark.parametrize("numbers", [(1, 13), (1, 1), (2, 2), (5, 6), (6, 6)])
def test_usual_numbers_change_nothing(numbers: tuple[int, int], picture: np.ndarray) -> None:
    data = png(picture / 255.0, *numbers)
    assert color_coding(data) is None
    assert error(data, picture) == 0.0


def jpeg(picture: np.ndarray, **settings: object) -> bytes:
    return encoded(Image.fromarray(picture), "JPEG", quality=95, **settings)


def tiff(*pages: np.ndarray, **settings: object) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(buffer, "TIFF", save_all=True, append_images=others, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 2.2])
def test_the_gamma_of_a_png_is_read(gamma: float, picture: np.ndarray) -> None:
    values = (picture / 255.0) ** (2.2 * gamma)
    data = encoded((255 * values).round().astype(np.uint8))
    body = b"gAMA" + struct.pack(">I", round(100_000 * gamma))
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    found = read_photo(PhotoSource("x.png", data[:33] + chunk + data[33:])).pixels
    assert np.abs(found.astype(float) - picture).mean() < 4.0
    srgb = struct.pack(">I", 1) + b"sRGB\0" + struct.pack(">I", zlib.crc32(b"sRGB\0"))
    untouched = read_photo(PhotoSource("x.png", data[:33] + srgb + chunk + data[33:])).pixels
    np.testing.assert_array_equal(untouched, (255 * values).round().astype(np.uint8))


def test_the_largest_page_of_a_tiff_is_read(picture: np.ndarray) -> None:
    photo = read_photo(PhotoSource("a.tif", tiff(picture[:60, :80] // 2, picture, picture[:100, :100])))
    assert photo.source_size == (320, 240) and (photo.pixels == picture).all()


def test_the_preview_inside_a_raw_file_is_read(picture: np.ndarray) -> None:
    """Most raw files are TIFF files with a small first page; the orientation is in the container."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = tiff(picture[:60, :80], exif=exif) + bytes(1000) + jpeg(picture[:120, :160]) + jpeg(picture) + bytes(5000)
    photo = read_photo(PhotoSource("a.dng", data))
    assert photo.source_size == (240, 320)
    assert np.abs(np.rot90(photo.pixels) - picture.astype(float)).mean() < 3.0


def test_the_preview_inside_an_unknown_container_is_read(picture: np.ndarray) -> None:
    large = np.tile(picture, (3, 3, 1))
    data = b"FUJIFILMCCD-RAW " + bytes(500) + jpeg(large[:160, :160]) + jpeg(large) + bytes(9000)
    photo = read_photo(PhotoSource("a.raf", data))
    assert photo.source_size == (960, 720)
    assert np.abs(photo.pixels - large.astype(float)).mean() < 3.0


def test_a_container_with_thumbnails_only_is_no_picture(picture: np.ndarray) -> None:
    with pytest.raises(PhotoUnreadableError, match="not a picture"):
        read_photo(PhotoSource("a.bin", b"something else" + jpeg(picture)))
