"""Decode photo files: pixels of any format, mode and depth as sRGB, orientation and focal length from EXIF.

Runs in a child process, started only by ``decoders``, which can be killed when a file never ends. Imports only Pillow
at start-up (trimesh where a mesh comes), and numpy for the modes that need it. A request (``limited_child``) has
``limits``, and a ``path`` or the file's bytes after it. An answer has ``error``, a sentence, or ``width`` and
``height`` of the image that follows as PPM, ``source_size`` and ``focal_px``; for a mesh, whose request has its suffix
as ``mesh``, ``arrays``: name, type and shape of each array whose bytes follow.

HEIC, AVIF and PNG name their colour coding by the numbers of ITU-T H.273, in a box ``colr`` of kind ``nclx`` or a chunk
``cICP``. Pillow leaves them alone, so they are read here.
"""

import io
import math
import mmap
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageChops, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from backend.photos.collection import FORMATS_TEXT, READING, PhotoUnreadableError, ReadLimits
from backend.system.processes import ParentLine, data_bytes, limit_memory, limit_time
from protocol.photo_folder import FORMAT_SUFFIXES, OWN_SENTENCE, is_own

_BT2020, _P3, _PQ, _HLG = 9, 12, 16, 18
_WHITE_PQ = 203.0
"""cd/m2 of diffuse white in PQ (BT.2408); brighter light is clipped."""
_WHITE_HLG = 0.265
"""Scene light of diffuse white in HLG, coded as 75 % (BT.2408)."""
_TO_BT709 = {  # linear RGB of other primaries -> linear RGB of BT.709 and sRGB; white D65
    _BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    _P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_MOST_JPEGS, _MOST_SEGMENTS = 64, 256


@dataclass(frozen=True)
class ColorCoding:
    """Colour primaries and transfer characteristics by their numbers in H.273."""

    primaries: int
    transfer: int

    @property
    def is_srgb(self) -> bool:
        """Whether the pixels can be taken as sRGB: everything unknown, and television's curve, which photos mean so."""
        return self.primaries not in _TO_BT709 and self.transfer not in (_PQ, _HLG)


_SCREEN_GAMMA = 2.2
"""A PNG's chunk gAMA is relative to it: 1 / 2.2 means as sRGB."""


def color_coding(data: bytes) -> ColorCoding | None:
    """The coding of a HEIC, AVIF or PNG file's picture, of several the first; None where it says none, or one that
    equals sRGB."""
    coding = None
    if data[4:8] == b"ftyp" and 0 < (start_of_box := data.find(b"colrnclx")) <= len(data) - 12:
        coding = ColorCoding(*struct.unpack(">HH", data[start_of_box + 8 : start_of_box + 12]))
    elif data.startswith(b"\x89PNG") and 0 < (start_of_chunk := data.find(b"cICP", 0, 4096)) + 8 <= len(data):
        coding = ColorCoding(data[start_of_chunk + 4], data[start_of_chunk + 5])
    return None if coding is None or coding.is_srgb else coding


def film_coding(path: str) -> ColorCoding | None:
    """The coding of an MP4 or MOV film's pictures; None where it says none, or one that equals sRGB."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for kind, (start, stop) in _boxes(data, 0, len(data)):
            if kind == b"moov" and 0 < (start_of_box := data.find(b"colrnclx", start, stop)) <= stop - 12:
                coding = ColorCoding(*struct.unpack(">HH", data[start_of_box + 8 : start_of_box + 12]))
                return None if coding.is_srgb else coding
    return None


def _boxes(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(kind, (start, stop) of the content) of the ISO boxes between two offsets."""
    while start + 8 <= stop:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = stop if size == 0 else start + size
        if (size != 0 and size < head) or end > stop:
            return
        yield kind, (start + head, end)
        start = end


def coded_to_srgb(image: Image.Image, coding: ColorCoding) -> Image.Image:
    """An RGB image of ``coding`` in sRGB; light above diffuse white is clipped."""
    import numpy as np  # imported here, because most photos do not need it

    signal = np.arange(256) / 255.0
    if coding.transfer == _PQ:  # SMPTE ST 2084
        root = signal ** (1.0 / 78.84375)
        light = np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)
        linear = 10_000.0 / _WHITE_PQ * light ** (1.0 / 0.1593017578125)
    elif coding.transfer == _HLG:  # BT.2100, the inverse of the camera's curve
        scene = np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        linear = scene / _WHITE_HLG
    else:
        linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    linear = linear.astype(np.float32)  # light of each level, 1 at diffuse white
    matrix = np.array(_TO_BT709.get(coding.primaries, np.eye(3)), np.float32)
    light = np.linspace(0.0, 1.0, 65536)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    levels = np.round(255.0 * srgb).astype(np.uint8)
    result = Image.new("RGB", image.size)
    rows = max(READING.band_pixels // image.width, 1)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        light = np.clip(linear[band] @ matrix.T, 0.0, 1.0)
        result.paste(Image.fromarray(levels[np.round(65535.0 * light).astype(np.uint16)]), (0, top))
    return result


def largest_jpeg(data: bytes, least_pixels: int) -> tuple[int, int] | None:
    """(offset, pixels) of the largest JPEG inside a file with at least ``least_pixels`` that Pillow can read (8 bits,
    not lossless, unlike a raw file's own picture); None without one."""
    best, offset = None, data.find(b"\xff\xd8\xff")
    for _ in range(_MOST_JPEGS):
        if offset < 0:
            break
        pixels = _jpeg_pixels(data, offset)
        if pixels >= least_pixels and (best is None or pixels > best[1]):
            best = offset, pixels
        offset = data.find(b"\xff\xd8\xff", offset + 3)
    return best


def _jpeg_pixels(data: bytes, start: int) -> int:
    """Width times height of the JPEG at ``start``; 0 for one that is broken or of a kind that is not read."""
    offset = start + 2
    for _ in range(_MOST_SEGMENTS):
        if offset + 9 > len(data) or data[offset] != 0xFF:
            return 0
        marker = data[offset + 1]
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack(">HH", data[offset + 5 : offset + 9])
            return 0 if marker in _LOSSLESS or data[offset + 4] != 8 else width * height
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    return 0


_EXIF_IFD = 0x8769
_FOCAL_LENGTH, _FOCAL_35MM = 0x920A, 0xA405
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
_CAMERA_ASPECTS = (4 / 3, 3 / 2, 16 / 9)


def focal_length_px(exif: Image.Exif, size: tuple[int, int]) -> float | None:
    """Focal length in pixels of an image of ``size`` (width, height; upright), or None.

    None if EXIF has no focal length, if the aspect ratio is not a camera's (4:3, 3:2, 16:9), or if it differs from the
    ratio recorded in EXIF: then the file is cropped and its field of view is unknown. Uses the 35 mm equivalent along
    the diagonal (CIPA DCG-001), otherwise the focal length and the sensor's resolution.
    """
    try:
        return _focal_length_px(exif, size)
    except (TypeError, ValueError, ZeroDivisionError, KeyError, OSError, SyntaxError):
        return None


def _focal_length_px(exif: Image.Exif, size: tuple[int, int]) -> float | None:
    tags = exif.get_ifd(_EXIF_IFD)
    long_side, short_side = max(size), min(size)
    aspect = long_side / short_side
    if not any(abs(aspect / camera - 1) < READING.aspect_tolerance for camera in _CAMERA_ASPECTS):
        return None
    written = (tags.get(_PIXEL_WIDTH), tags.get(_PIXEL_HEIGHT))
    written_long = None
    if written[0] and written[1]:
        written_long = max(int(written[0]), int(written[1]))
        written_aspect = written_long / min(int(written[0]), int(written[1]))
        tolerance = READING.aspect_tolerance
        if abs(aspect / written_aspect - 1) > tolerance or long_side > written_long * (1 + tolerance):
            return None
    focal_35mm = float(tags.get(_FOCAL_35MM) or 0)
    if focal_35mm > 0:
        return _plausible(focal_35mm * math.hypot(*size) / _FRAME_DIAGONAL_MM, long_side)
    focal_mm, resolution = float(tags.get(_FOCAL_LENGTH) or 0), float(tags.get(_PLANE_X_RESOLUTION) or 0)
    if focal_mm > 0 and resolution > 0 and written_long:
        pixels_per_mm = resolution / _UNIT_MM[int(tags.get(_PLANE_UNIT) or 2)]
        return _plausible(focal_mm * pixels_per_mm * long_side / written_long, long_side)
    return None


def _plausible(focal_px: float, long_side: int) -> float | None:
    """``focal_px``, or None outside 12 to 800 mm equivalent, the range of portrait lenses."""
    return focal_px if 0.33 * long_side < focal_px < 22 * long_side and math.isfinite(focal_px) else None


ImageFile.LOAD_TRUNCATED_IMAGES = False
NO_MEMORY = "There is not enough memory to open it; save it smaller."
DAMAGED = "The file is damaged and cannot be opened; export it again."
NO_MESH = "It is no mesh of a head that can be read."
MOST_VERTICES = 2_000_000
"""Vertices of a mesh; a raw scan has a million, and takes a minute."""
_HEIF_SUPPORT = "HEIC files need the package pillow-heif; install it, or export the photo as JPEG."
_ORIENTATION = 0x0112
_COMMON = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM")  # magic bytes of JPEG, PNG, GIF and BMP
_SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Picture:
    """A decoded photo: upright RGB, the size of the file after EXIF rotation, and its focal length in pixels."""

    image: Image.Image
    source_size: tuple[int, int]
    focal_px: float | None


def decode(data: bytes, limits: ReadLimits, opened: Callable[[int], None] = lambda pixels: None) -> Picture:
    """Decode one photo file.

    Parameters
    ----------
    opened : called with the number of pixels once the header is read and accepted, before decoding.

    Raises
    ------
    PhotoUnreadableError : with a sentence for the user, for any defect of the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb limit is lower than ours; broken EXIF is ignored
            if is_own(data):
                raise PhotoUnreadableError(OWN_SENTENCE)
            image = _largest_picture(_opened_or_preview(data), data)
            _refuse_huge(image, len(data), limits)  # before reading EXIF, for which the PNG reader decodes
            _refuse_scans(image, data, limits)
            opened(image.width * image.height)
            size = _upright_size(image)
            focal = focal_length_px(image.getexif(), size)
            return Picture(_decoded(image, limits, color_coding(data)), size, focal)
    except PhotoUnreadableError:
        raise
    except MemoryError as error:
        raise PhotoUnreadableError(NO_MEMORY) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        raise PhotoUnreadableError(_sentence_for(error, data)) from error
    except Exception as error:  # decoders raise nearly anything on broken files
        raise PhotoUnreadableError(DAMAGED) from error


def read_file(path: Path, limits: ReadLimits) -> bytes:
    """Read a regular file's bytes; raises ``PhotoUnreadableError`` for anything else. Never blocks on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _cannot_open(path, error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise PhotoUnreadableError("This is a folder, not a photo; give the photos in it.")
        raise PhotoUnreadableError("This is a device or a pipe, not a file; give a photo file.")
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(limits.max_file_bytes + 1) if status.st_size <= limits.max_file_bytes else b""
        except OSError as error:
            raise _cannot_open(path, error) from error
    check_size(max(status.st_size, len(data)), limits)
    return data


def check_size(size: int, limits: ReadLimits) -> None:
    """Raise ``PhotoUnreadableError`` for a file that is empty or too large."""
    if size > limits.max_file_bytes:
        raise PhotoUnreadableError(
            f"The file has {size / 2**20:.0f} MB, more than the limit of {limits.max_file_bytes / 2**20:.0f} MB;"
            " save it as a JPEG."
        )
    if size == 0:
        raise PhotoUnreadableError("The file is empty; copy or export it again.")


def _cannot_open(path: Path, error: OSError) -> PhotoUnreadableError:
    if isinstance(error, FileNotFoundError):
        return PhotoUnreadableError("There is no such file; check the path.")
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):  # Windows reports a folder as an access error
        return PhotoUnreadableError("This is a folder, not a photo; give the photos in it.")
    reason = error.strerror or "unknown reason"
    return PhotoUnreadableError(f"The file cannot be opened ({reason}); check its permissions and the disk.")


def _open(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp":
        try:
            import pillow_heif  # imported here, because most photos do not need it

            pillow_heif.register_heif_opener()
        except ImportError as error:
            if data[8:12] not in (b"avif", b"avis"):
                raise PhotoUnreadableError(_HEIF_SUPPORT) from error
    if data.startswith(_COMMON):
        Image.preinit()  # loads only these readers, in a third of the time
    else:
        Image.init()
    Image.MAX_IMAGE_PIXELS = None  # our own limits are checked from the header, before decoding
    return Image.open(io.BytesIO(data), formats=[name for name in FORMAT_SUFFIXES if name in Image.OPEN])


def _opened_or_preview(data: bytes) -> Image.Image:
    """The picture, or the largest JPEG inside a file of another kind (a camera's raw file)."""
    try:
        return _open(data)
    except UnidentifiedImageError:
        preview = largest_jpeg(data, READING.least_preview_pixels)
        if preview is None:
            raise
        return _open(data[preview[0] :])


def _largest_picture(image: Image.Image, data: bytes) -> Image.Image:
    """The largest picture of a TIFF file that can be read: its pages, and JPEGs inside. Raw files of many cameras are
    TIFF files whose first page is a thumbnail; the pages' orientation holds for a JPEG without one."""
    if image.format != "TIFF":
        return image
    sizes = []
    for page in range(min(getattr(image, "n_frames", 1), READING.most_pages)):
        image.seek(page)
        sizes.append(image.width * image.height)
    image.seek(sizes.index(max(sizes)))
    larger = largest_jpeg(data, max(sizes) + 1)
    if larger is None:
        return image
    inside = _open(data[larger[0] :])
    image.seek(0)
    turn, exif = image.getexif().get(_ORIENTATION), inside.getexif()
    if turn is not None and _ORIENTATION not in exif:
        exif[_ORIENTATION] = turn
        inside.info["exif"] = exif.tobytes()
    return inside


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # the HEIC reader rotates by itself and reports 1; the TIFF reader reports the upright size
    turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _refuse_huge(image: Image.Image, size: int, limits: ReadLimits) -> None:
    width, height = image.size
    most = limits.max_full_pixels
    if _is_jpeg(image) and not image.info.get("progressive", 0):
        most = limits.max_pixels
    elif image.format == "WEBP":
        most = min(most, limits.max_webp_pixels)
    if max(width, height) > limits.max_side or width * height > most:
        raise PhotoUnreadableError(
            f"It is {width} x {height} pixels, more than the limit of {most / 1e6:.0f} megapixels"
            f" and {limits.max_side} a side; save it smaller, for instance 4000 pixels wide."
        )
    if width * height > max(READING.small_pixels, size * limits.max_pixels_per_byte):
        sentence = f"It has {size} bytes, too few for the {width} x {height} pixels of its header; export it again."
        raise PhotoUnreadableError(sentence)


def _refuse_scans(image: Image.Image, data: bytes, limits: ReadLimits) -> None:
    scans = data.count(b"\xff\xda")  # marker of each scan; coded data cannot contain it
    if _is_jpeg(image) and scans * image.width * image.height > limits.max_scanned_pixels:
        raise PhotoUnreadableError(f"It comes in {scans} passes over the picture, far too many; save it as a new JPEG.")


def _decoded(image: Image.Image, limits: ReadLimits, coding: ColorCoding | None) -> Image.Image:
    """The image upright, downsampled, in sRGB; ``coding`` is the file's where it has no ICC profile."""
    factor = math.ceil(math.sqrt(image.width * image.height / limits.kept_pixels))
    if factor > 1 and _is_jpeg(image):
        image.draft(None, (image.width // factor + 1, image.height // factor + 1))  # the decoder's own 1/2, 1/4, 1/8
    image.load()
    profile = image.info.get("icc_profile")
    factor = math.ceil(math.sqrt(image.width * image.height / limits.kept_pixels))
    image = _flat(image, (min(factor, image.width), min(factor, image.height)))
    gamma = None if profile or coding or "srgb" in image.info else image.info.get("gamma")  # of a PNG
    image = _to_srgb(ImageOps.exif_transpose(image), profile)
    if gamma and gamma > 0 and abs(gamma * _SCREEN_GAMMA - 1.0) > 0.01:
        levels = [round(255 * (level / 255) ** (1 / (_SCREEN_GAMMA * gamma))) for level in range(256)]
        return image.point(levels * len(image.getbands()))
    return image if profile or coding is None else coded_to_srgb(image, coding)


def _flat(image: Image.Image, factors: tuple[int, int]) -> Image.Image:
    """Convert to 8 bits a channel without a palette, downsampled by whole factors (across, down)."""
    if max(factors) > 1 and image.mode not in ("P", "PA", "1") and not image.mode.startswith("I;16"):
        image, factors = image.reduce(factors), (1, 1)
    flatten = _flattening(image)
    if flatten is None:
        return image
    # In bands of rows, because colours take four times the memory of palette indices.
    rows = max(READING.band_pixels // image.width // factors[1], 1) * factors[1]
    flat = None
    for top in range(0, image.height, rows):
        band = flatten(image.crop((0, top, image.width, min(top + rows, image.height))))
        band = band.reduce(factors) if max(factors) > 1 else band
        if flat is None:
            flat = Image.new(band.mode, (band.width, -(-image.height // factors[1])))
        flat.paste(band, (0, top // factors[1]))
    flat.info.update((name, value) for name, value in image.info.items() if name != "transparency")  # includes EXIF
    return flat


def _flattening(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """Function that converts any part of the image to 8 bits a channel; None if it already has them."""
    if image.mode in ("P", "PA"):
        mode = "RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB"
        return lambda part: part.convert(mode)
    if image.mode == "1":
        return lambda part: part.convert("L")
    if not image.mode.startswith(("I", "F")):
        return None
    import numpy as np

    if image.mode.startswith("I;16"):
        return lambda part: Image.fromarray((np.asarray(part, dtype=np.uint16) >> 8).astype(np.uint8))
    top = float(np.fmax.reduce(np.asarray(image), axis=None, initial=0))  # ignores NaN
    full = next((scale for scale in (1.0, 255.0, 65535.0) if top <= scale), top)

    def to_bytes(part: Image.Image) -> Image.Image:
        values = np.asarray(part, dtype=np.float32) * np.float32(255.0 / full)
        return Image.fromarray(np.nan_to_num(np.clip(values, 0, 255)).astype(np.uint8))

    return to_bytes


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Composite alpha over mid grey, convert an embedded ICC profile to sRGB and any mode to RGB."""
    if image.mode in ("LA", "La", "RGBa") or (image.mode in ("RGB", "L") and "transparency" in image.info):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        behind = Image.new("RGBA", image.size, (READING.alpha_grey,) * 3 + (255,))
        image = Image.alpha_composite(behind, image).convert("RGB")
    if profile and image.mode in ("RGB", "L", "CMYK", "LAB"):
        converted = _apply_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image in sRGB, or None if the profile is broken, does not fit the mode, or changes nothing."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            embedded, _SRGB, image.mode, "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        if image.mode == "RGB":
            swatches = _swatches()
            changed = ImageChops.difference(ImageCms.applyTransform(swatches, transform), swatches)
            if max(high for _, high in changed.getextrema()) <= READING.same_profile:
                return None
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _swatches() -> Image.Image:
    """RGB, 125 x 1: all combinations of five levels."""
    levels = (0, 64, 128, 192, 255)
    return Image.frombytes("RGB", (125, 1), bytes(v for r in levels for g in levels for b in levels for v in (r, g, b)))


def _sentence_for(error: Exception, data: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        if data[:4] in (b"II*\0", b"MM\0*"):
            return "This kind of TIFF cannot be read; save it with 8 or 16 bits a channel."
        return f"This is not a picture that can be read; give {FORMATS_TEXT}."
    text = str(error).lower()
    if "truncated" in text or "broken" in text or "unexpected end" in text or "premature" in text:
        return "The file is cut short, part of the picture is missing; copy or download it again."
    return DAMAGED


def main() -> None:
    """Answer requests until the parent exits."""
    line = ParentLine()
    while True:
        _serve(*line.request(), line)


def _serve(header: Mapping[str, Any], data: bytes, line: ParentLine) -> None:
    """Answer a request: what the file is, and its pixels or arrays, or a sentence why it cannot be read."""
    try:
        answer, write = (_mesh if "mesh" in header else _photo)(header, data)
    except PhotoUnreadableError as error:
        return line.answer({"error": str(error)})
    except MemoryError:
        return line.answer({"error": NO_MEMORY})
    line.answer(answer)
    write(line.outgoing)
    line.outgoing.flush()


Answer = tuple[dict[str, Any], Callable[[BinaryIO], None]]
"""The header of an answer, and what writes the data after it."""


def _file_of(header: Mapping[str, Any], data: bytes, limits: ReadLimits) -> bytes:
    """The bytes of a request's file. Raises ``PhotoUnreadableError``."""
    data = read_file(Path(header["path"]), limits) if "path" in header else data
    check_size(len(data), limits)
    return data


def _mesh(header: Mapping[str, Any], data: bytes) -> Answer:
    import trimesh  # a third of a second, which photos do not need

    limits, beside = ReadLimits(**header["limits"]), None
    limit_memory(data_bytes() + limits.most_bytes)  # the libraries' own grows with the number of cores
    limit_time(limits.most_cpu_seconds)
    data = _file_of(header, data, limits)
    if "path" in header:
        beside = trimesh.resolvers.FilePathResolver(header["path"])  # a service's copy has nothing beside it
    try:
        whole = trimesh.load_scene(io.BytesIO(data), file_type=header["mesh"], resolver=beside).to_mesh()
        arrays = _arrays_of(whole, limits)
    except (PhotoUnreadableError, MemoryError):
        raise
    except Exception as error:  # a parser raises whatever a broken file makes of it
        raise PhotoUnreadableError(NO_MESH) from error
    answer = {"arrays": [(name, one.dtype.str, one.shape) for name, one in arrays.items()]}
    return answer, lambda out: out.writelines(memoryview(one).cast("B") for one in arrays.values())


def _arrays_of(whole: Any, limits: ReadLimits) -> dict[str, Any]:
    """Of a ``trimesh.Trimesh``: ``vertices`` (V, 3), ``triangles`` (T, 3), and ``colors`` (V, 3) uint8 sRGB or
    ``texture`` (H, W, 3) uint8 and ``uv`` (V, 2) where the mesh is painted."""
    import numpy as np

    vertices, triangles = np.ascontiguousarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int64)
    if not 0 < len(vertices) <= MOST_VERTICES or len(triangles) < 100 or not np.isfinite(vertices).all():
        said = f"It has {len(vertices)} vertices and {len(triangles)} triangles"
        raise PhotoUnreadableError(f"{said}, which is no head, or more than {MOST_VERTICES}.")
    arrays, visual = {"vertices": vertices, "triangles": np.ascontiguousarray(triangles)}, whole.visual
    if visual.kind == "texture" and visual.uv is not None:
        image = getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)
        if image is not None:
            if image.width * image.height > limits.max_full_pixels:
                raise PhotoUnreadableError(f"Its picture has {image.width} x {image.height} pixels; save it smaller.")
            factor = math.ceil(math.sqrt(image.width * image.height / limits.kept_pixels))
            pixels = np.ascontiguousarray(image.convert("RGB").reduce(factor))
            return arrays | {"texture": pixels, "uv": np.ascontiguousarray(visual.uv, np.float64)}
    if visual.kind == "vertex":
        return arrays | {"colors": np.ascontiguousarray(visual.vertex_colors[:, :3], np.uint8)}
    return arrays


def _photo(header: Mapping[str, Any], data: bytes) -> Answer:
    limits = ReadLimits(**header["limits"])
    limit_memory(limits.most_bytes)
    limit_time(limits.cpu_seconds)
    picture = decode(_file_of(header, data, limits), limits, lambda pixels: limit_time(limits.seconds_for(pixels)))
    image = picture.image
    facts = {"source_size": picture.source_size, "focal_px": picture.focal_px}
    answer = {"width": image.width, "height": image.height, **facts}
    return answer, lambda out: image.save(out, "PPM")  # Pillow writes it without a copy, unlike Python bytes
