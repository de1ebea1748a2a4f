"""The image formats that are read, and how to find a file's format from its first bytes."""

import importlib.util
from functools import cache

from PIL import Image, features

from cnnkit.data.images.source import Source

MAX_PIXELS = 64_000_000  # of an image, unless the user says otherwise
HEAD = 32  # bytes of a file that `find_formats` needs

# Recognized by their first bytes, with any suffix. Of Pillow's other formats, EPS starts Ghostscript, and WMF, BUFR,
# GRIB, HDF5 and MPEG are not decoded.
_BY_CONTENT = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "ICO", "CUR", "ICNS", "PSD"),
    *("DDS", "PCX", "DCX", "SGI", "SUN", "QOI", "DIB", "FITS", "FLI", "FTEX", "BLP", "GBR", "MSP", "PIXAR"),
    *("XBM", "XPM", "XVTHUMB"),
)
# These have no signature, so the suffix decides.
_BY_SUFFIX = {
    **dict.fromkeys((".tga", ".icb", ".vda", ".vst"), "TGA"),
    **{".im": "IM", ".pcd": "PCD", ".spi": "SPIDER", ".spider": "SPIDER"},
}
# A file with one of these suffixes counts as an image; if it is broken, that is an error, and it is not skipped.
IMAGE_SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".avif", ".avifs"),
        *(".heic", ".heif", ".hif", ".tga", ".icb", ".vda", ".vst", ".pcx", ".dds", ".psd", ".qoi", ".sgi"),
        *(".ico", ".icns"),
    )
)
COMMON_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000, AVIF, HEIC and others that Pillow decodes"

# Camera raw files look like TIFFs: Pillow would read their thumbnail instead.
_CAMERA_RAW = frozenset(
    (".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw")
)
_VIDEO = frozenset((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"))
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")


def find_formats(head: bytes, suffix: str) -> tuple[str, ...]:
    """Return Pillow's names of the formats that a file may have; empty if it is no image.

    Args:
        head: its first `HEAD` bytes.
        suffix: of its name, in lower case; it decides only if a format has no signature.
    """
    if suffix in _CAMERA_RAW:
        return ()
    head = head.ljust(16, b"\0")  # Pillow's tests look that far
    accepted = [name for name in _list_decoders() if (accept := Image.OPEN[name][1]) and accept(head) is True]
    if is_heic(head) and has_heif():
        import pillow_heif

        pillow_heif.register_heif_opener()
        accepted.append("HEIF")
    if suffix in _BY_SUFFIX:
        accepted.append(_BY_SUFFIX[suffix])
    return tuple(accepted)


def explain_unread(head: bytes, suffix: str) -> str | None:
    """Name a known kind of file that is not read, with a remedy; None if the kind is unknown."""
    if (is_heic(head) or (not head and suffix in (".heic", ".heif", ".hif"))) and not has_heif():
        return "HEIC: pip install 'cnnkit[heif]' to read it"
    if head[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in _list_decoders():
        return "AVIF without a decoder in Pillow: pip install --upgrade pillow"
    if suffix in _CAMERA_RAW:
        return "camera raw: convert it to TIFF or JPEG"
    if suffix in _VIDEO or head.startswith(b"\0\0\1\xb3"):
        return "video: extract its frames"
    if head.startswith((b"%PDF", b"%!PS", b"\xc5\xd0\xd3\xc6")) or suffix in (".svg", ".wmf", ".emf"):
        return "document or drawing (PDF, EPS, SVG, WMF): convert it to PNG"
    return None


def is_heic(head: bytes) -> bool:
    """Whether a file with these first bytes is a HEIC image."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def has_heif() -> bool:
    """Whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def read_head(path: Source) -> bytes:
    """Read the first bytes of a regular file, or of its content in memory."""
    with path.open("rb") as file:
        return file.read(HEAD)


@cache
def _list_decoders() -> tuple[str, ...]:
    Image.init()
    built = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000", "JPEG": "jpg"}
    known = [name for name in _BY_CONTENT if name in Image.OPEN and name != "HEIF"]
    return tuple(name for name in known if name not in built or features.check(built[name]))
