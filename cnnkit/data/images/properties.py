"""What the header of an image file says: size, colors, frames. No pixel is decoded."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cnnkit.data.images.formats import find_formats, read_head

_DEEP = ("I", "F")  # the first letter of Pillow's modes with more than eight bits a channel


class ImageProperties(NamedTuple):
    """The properties of a file.

    Attributes:
        width: in pixels; 0 if the header cannot be read.
        height: in pixels.
        mode: Pillow's name of its colors, such as ``RGB`` or ``CMYK``.
        frames: frames of an animation, or pages.
        size: of the file, in bytes.
    """

    width: int
    height: int
    mode: str
    frames: int
    size: int

    def describe_special(self) -> list[str]:
        """Describe what of it `read_image` changes: colors, depth, frames."""
        found = []
        if self.mode == "CMYK":
            found.append("CMYK, becomes RGB without a color profile")
        elif self.mode in ("LAB", "YCbCr", "HSV"):
            found.append(f"{self.mode}, becomes RGB")
        elif self.mode.startswith(_DEEP):
            found.append(f"more than 8 bits a channel ({self.mode}), scaled down")
        if self.frames > 1:
            found.append(f"{self.frames} frames or pages, only the first is read")
        return found


def read_properties(path: Path) -> ImageProperties:
    """Read the header of a file; zeros and an empty mode for one that cannot be read."""
    try:
        size = path.stat().st_size
        with Image.open(path, formats=find_formats(read_head(path), path.suffix.lower())) as image:
            return ImageProperties(*image.size, image.mode, int(getattr(image, "n_frames", 1)), size)
    except Exception:  # decoders raise many kinds of errors
        return ImageProperties(0, 0, "", 1, 0)
