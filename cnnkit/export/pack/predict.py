# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the cnnkit authors
"""Predict the classes of image files with the model beside this script, without cnnkit.

python predict.py photo.jpg folder        the most probable classes of each image
python predict.py -o table.csv folder     all probabilities as a table
python predict.py --check                 compare the model with check.json

Needed are the packages in requirements.txt. Images are brought to the model's size as in its training.
"""

import argparse
import csv
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
ORIENTATION = 0x0112  # of EXIF
Run = Callable[[np.ndarray], np.ndarray]


def open_model(path: Path) -> tuple[dict[str, Any], Run]:
    """Return the description in a model file, and what maps pixels uint8 (B, C, H, W) to probabilities (B, K)."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        description = json.loads(session.get_modelmeta().custom_metadata_map["cnnkit"])
        return description, lambda pixels: np.asarray(session.run(None, {given.name: pixels})[0])
    import torch

    files = {"cnnkit": ""}
    module = torch.export.load(str(path), extra_files=files).module()
    return json.loads(files["cnnkit"]), lambda pixels: module(torch.from_numpy(pixels)).detach().numpy()


def read_pixels(path: Path, description: dict[str, Any]) -> np.ndarray:
    """Read an image file as uint8 (C, H, W): upright, transparent pixels on white, at the model's size.

    Raises:
        ValueError, OSError: the file cannot be read, or is too large.
    """
    size = description["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > description["max_pixels"]:
            raise ValueError(f"{image.width}x{image.height} pixels are more than {description['max_pixels']}")
        extent: tuple[float, float] = image.size
        if image.format in ("JPEG", "MPO") and (draft := image.draft(None, (2 * max(height, width),) * 2)):
            extent = draft[1][2:]  # it is decoded at 1/2, 1/4 or 1/8 if that is at least twice the size
        image.load()
        orientation = 1
        with suppress(Exception):  # broken metadata do not make an image unreadable
            orientation = int(image.getexif().get(ORIENTATION, 1))
        flat = flatten(image).convert("L" if description["in_channels"] == 1 else "RGB")
    wanted = (height, width) if 5 <= orientation <= 8 else (width, height)
    flat = resize(flat, extent, wanted, description["resize"])
    if orientation != 1:
        flat.getexif()[ORIENTATION] = orientation
        ImageOps.exif_transpose(flat, in_place=True)
    pixels = np.asarray(flat)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def flatten(image: Image.Image) -> Image.Image:
    """Convert an image to eight bits without transparency."""
    if image.mode[0] in "IF":
        if image.format != "PNG":
            raise ValueError("has more than eight bits a pixel: save it as PNG, or with eight bits")
        return Image.fromarray((np.asarray(image).astype(np.float64) * (255 / 65535)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def resize(image: Image.Image, extent: tuple[float, float], size: tuple[int, int], rule: str) -> Image.Image:
    """Scale to a width and height: ``crop`` keeps the center, ``pad`` adds black borders, ``squash`` does neither."""
    (from_width, from_height), (width, height) = extent, size
    inner, box = size, (0.0, 0.0, from_width, from_height)
    if rule == "crop":
        scale = min(from_width / width, from_height / height)
        left, top = max(0.0, from_width - width * scale) / 2, max(0.0, from_height - height * scale) / 2
        box = (left, top, from_width - left, from_height - top)
    elif rule == "pad":
        scale = max(from_width / width, from_height / height)
        inner = (max(1, round(from_width / scale)), max(1, round(from_height / scale)))
    scaled = image.resize(inner, Image.Resampling.BILINEAR, box, reducing_gap=3.0)
    if inner == size:
        return scaled
    padded = Image.new(image.mode, size)
    padded.paste(scaled, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def predict(path: Path, description: dict[str, Any], run: Run) -> np.ndarray:
    """Return the probabilities (K,) of an image file."""
    found: np.ndarray = run(read_pixels(path, description)[None])[0]
    return found


def choose_labels(probabilities: np.ndarray, description: dict[str, Any]) -> list[str]:
    """Return the most probable class; with several labels an image, the classes that reach their threshold."""
    names, thresholds = description["class_names"], description.get("thresholds")
    if thresholds is None:
        return [names[int(probabilities.argmax())]]
    return [name for name, p, least in zip(names, probabilities, thresholds, strict=True) if p >= least]


def show(name: object) -> str:
    """Return a name as one line of text."""
    text = str(name)
    return text if text.isprintable() else json.dumps(text)


def list_files(paths: list[str]) -> Iterator[Path]:
    """Yield the files, and the images in folders."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
        else:
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def run_check(description: dict[str, Any], run: Run) -> int:
    """Compare the model's classes and probabilities with the expected ones; return the exit code."""
    expected = json.loads((HERE / "check.json").read_text(encoding="utf-8"))
    if description["class_names"] != expected["class_names"]:
        print("the classes of the model are not the expected ones", file=sys.stderr)
        return 1
    worst = 0.0
    for image in expected["images"]:
        found = predict(HERE / image["file"], description, run).astype(np.float64)
        wanted = np.asarray(image["probabilities"])
        if found.shape != wanted.shape or not np.isfinite(found).all():
            print(f"{image['file']}: {found.size} probabilities, {wanted.size} were expected", file=sys.stderr)
            return 1
        worst = max(worst, float(np.abs(found - wanted).max()))
    tolerance, count = expected["tolerance"], len(expected["images"])
    print(f"{count} images, largest difference {worst:.1e}, allowed {tolerance:.1e}")
    return 0 if count and worst <= tolerance else 1


def main() -> int:
    """Read the command line; return the exit code, 3 if some images could not be read."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly where the reader of a pipe does
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", help="image files, or folders of them")
    parser.add_argument("-o", "--output", metavar="FILE", help="write all probabilities as CSV")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="classes to print for each image (3)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="model.onnx or model.pt2 (default: what is there)")
    parser.add_argument("--check", action="store_true", help="compare the model with check.json")
    args = parser.parse_args()
    models = [args.model] if args.model else [HERE / name for name in ("model.onnx", "model.pt2")]
    model = next((model for model in models if model.exists()), None)
    if model is None:
        parser.error(f"{' and '.join(map(str, models))}: not there; name the model's file with --model")
    if not (args.images or args.check):
        parser.error("name image files, or --check")
    description, run = open_model(model)
    if args.check:
        return run_check(description, run)
    names, rows, unread = description["class_names"], [], 0
    for file in list_files(args.images):
        try:
            found = predict(file, description, run)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            print(f"{show(file)}: {error}", file=sys.stderr)
            unread += 1
            continue
        labels = "|".join(choose_labels(found, description))
        first = ", ".join(f"{show(names[k])} {found[k]:.1%}" for k in np.argsort(-found, kind="stable")[: args.top])
        has = "" if description.get("thresholds") is None else f"{show(labels) or '-'}; "
        print(f"{show(file)}: {has}{first}")
        rows.append([str(file), labels, *(f"{p:.6f}" for p in found)])
    if args.output:
        with Path(args.output).open("w", encoding="utf-8", errors="surrogateescape", newline="") as table:
            csv.writer(table, lineterminator="\n").writerows([["path", "classes", *names], *rows])
    return 3 if unread else 0


if __name__ == "__main__":
    sys.exit(main())
