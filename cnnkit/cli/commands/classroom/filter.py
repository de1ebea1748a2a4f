"""``classroom filter``: blur, sharpen, find edges in an image file."""

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.outputs import check_output, write_bytes
from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import Cell, print_table
from cnnkit.suggest import suggest

if TYPE_CHECKING:
    from torch import Tensor

DESCRIPTION = """\
Filter an image file with a fixed kernel that is not learned; --list shows all kernels. Photographs are turned upright
first, transparent parts become white, gray images stay gray. Derivatives are shown without their sign: white is a
step from black to white."""
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


def arguments() -> Options:
    """The words of the command."""
    options = Options("classroom filter", DESCRIPTION)
    options.add_argument("name", nargs="?", metavar="NAME", help="the filter")
    options.add_argument("image", nargs="?", metavar="IMAGE", help="an image file")
    options.add_argument(
        "-o", "--output", metavar="FILE", help="the result, its format by its suffix (default: IMAGE_NAME.png here)"
    )
    options.add_argument("--size", type=positive, metavar="N", help="rows and columns of box and gaussian, odd")
    options.add_argument("--sigma", type=float, metavar="S", help="standard deviation of gaussian in pixels")
    options.add_argument("--list", action="store_true", help="show the filters and their kernels")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Write the filtered image, or list the filters."""
    if args.list:
        return _list(as_json=args.json)
    if args.name is None or args.image is None:
        raise UserError("name a filter and an image, such as `sobel photo.jpg -o edges.png`; --list shows all filters")
    image, output = Path(args.image), Path(args.output or f"{Path(args.image).stem}_{args.name}.png")
    _check(args.name, image, output)
    from cnnkit.classroom.filters import ImageFilter
    from cnnkit.data.images.decode import UnreadableImage, read_image
    from cnnkit.data.images.formats import COMMON_FORMATS

    image_filter = ImageFilter(args.name, args.size, args.sigma)
    try:
        pixels = read_image(image, 3, None)
    except UnreadableImage as error:
        raise UserError(f"{error}; name an image file ({COMMON_FORMATS})") from None
    if (pixels == pixels[:1]).all():
        pixels = pixels[:1]  # gray
    result = image_filter.render(pixels[None].float().div_(255))[0].mul_(255).round_().byte()
    _write(result, output)
    if args.json:
        print(json.dumps({"filter": args.name, "image": str(image), "picture": str(output), "shape": result.shape}))
    else:
        print(output)
    return 0


def _check(name: str, image: Path, output: Path) -> None:
    """Whether the words serve, before anything is read."""
    from cnnkit.classroom.filters import FILTERS

    if name not in FILTERS:
        raise UserError(f"there is no filter {name!r}{suggest(name, FILTERS)}")
    check_output(output, tuple(FORMATS))
    if output.exists() and image.exists() and output.samefile(image):
        raise UserError(f"output is {output}, the image itself: name another file")


def _write(pixels: "Tensor", output: Path) -> None:
    """Write uint8 (C, H, W) as an image file."""
    from PIL import Image

    array = pixels.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    kind = FORMATS[output.suffix.lower()]
    file = io.BytesIO()
    try:
        picture.save(file, kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    except (OSError, ValueError) as error:  # such as more pixels a side than the format can tell
        raise UserError(f"{output}: cannot be written ({error}); name another file") from None
    write_bytes(output, file.getvalue())


def _list(*, as_json: bool) -> int:
    """Every filter with its kernel."""
    from cnnkit.classroom.filters import FILTERS, make_kernel

    if as_json:
        found: list[dict[str, Any]] = [
            {"name": name, "what": what, "kernel": make_kernel(name).tolist()} for name, what in FILTERS.items()
        ]
        print(json.dumps(found, indent=2))
        return 0
    rows = [(name, _format_rows(make_kernel(name)), what) for name, what in FILTERS.items()]
    print_table(["filter", "kernel", "what it does"], [line for row in rows for line in (row, ("", "", ""))])
    return 0


def _format_rows(weights: "Tensor") -> Cell:
    """Rows of numbers, those of a second kernel below; of a large kernel only its size."""
    rows = weights.flatten(0, -2).tolist()
    if len(rows) > 6:
        return f"{len(rows)}x{len(rows[0])}"
    return tuple(" ".join(f"{weight:.3g}".rjust(5) for weight in row) for row in rows)
