"""Export a trained net: write the file, run it, and leave it only if it predicts what the net does."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from cnnkit.errors import UserError
from cnnkit.export import SUFFIXES
from cnnkit.export.checking import PIXELS, name_runtime, predict_pixels, run_file, write_other_sizes, write_pixels
from cnnkit.export.deployed import DeployedNet, trace
from cnnkit.export.description import ModelDescription, describe
from cnnkit.export.int8 import Int8, measure_cost, quantize, refuse_cost
from cnnkit.export.loading import open_exported
from cnnkit.export.onnx_file import write_onnx
from cnnkit.export.proof import RESIZED_TOLERANCE, TOLERANCE, Proof, compare, list_versions, measure_accuracy, refuse
from cnnkit.export.safetensors_file import write_safetensors
from cnnkit.export.subject import CheckImages, Subject
from cnnkit.export.torch_file import write_torch
from cnnkit.files import is_alive

Kind = Literal["onnx", "torch", "safetensors"]
_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": (), "safetensors": ("safetensors",)}


def export_run(subject: Subject, kind: Kind, output: Path, images: CheckImages, int8: Int8 | None = None) -> Proof:
    """Write a trained net as a file, with its proof, ``<file>.json``, beside it.

    The file is written to a temporary place, run there, and moved to its own only if it agrees with the net; one that
    was there before is replaced then.

    Args:
        subject: the net, from `cnnkit.export.subject.open_subject`.
        kind: the format.
        output: the file.
        images: to compare file and net on.
        int8: makes an int8 file of an ONNX file that agrees.

    Raises:
        UserError: the net cannot be exported, the file does not predict what the net does, or int8 costs too much.
    """
    if not len(images.numbers):
        raise UserError("there is no image to check the file by: name some with --images")
    began = time.perf_counter()
    with _temporary_folder(output) as folder:
        file = folder / f"model{SUFFIXES[kind]}"
        try:
            write(kind, subject, file)
            proof = check(subject, kind, file, output, images, folder, began)
            if int8 is not None:
                file, proof = _make_int8(subject, file, output, images, int8, proof)
                proof = replace(proof, seconds=round(time.perf_counter() - began, 2))
        except UserError as error:
            raise UserError(str(error).replace(str(file), str(output))) from error
        told = folder / "proof.json"
        told.write_text(json.dumps(proof.as_json(), indent=2) + "\n", encoding="utf-8")
        for made, place in ((file, output), (told, output.with_name(f"{output.name}.json"))):
            with made.open("rb+") as written:
                os.fsync(written.fileno())
            made.replace(place)
    return proof


def write(kind: Kind, subject: Subject, file: Path) -> None:
    """Write a trained net as a file, which nothing has checked yet."""
    description = describe(subject.classifier, subject.data, subject.content, subject.path, subject.run)
    if kind == "safetensors":
        write_safetensors(subject, description, file)
        return
    program = trace(DeployedNet(subject.classifier, subject.data))
    (write_onnx if kind == "onnx" else write_torch)(program, description, file)


def check(
    subject: Subject, kind: Kind, file: Path, output: Path, images: CheckImages, folder: Path, began: float
) -> Proof:
    """Run a written file on images, and compare it with the net.

    Raises:
        UserError: it does not predict what the net does; the message names ``output``.
    """
    description = open_exported(file, subject.configs if kind == "safetensors" else ()).description
    thresholds = np.array(description.thresholds) if description.thresholds is not None else None
    pixels = write_pixels(images, (subject.data.in_channels, *subject.data.size), folder)
    other = write_other_sizes(images, subject, pixels, folder)
    net = predict_pixels(subject, [pixels, *other.resized])
    found = _by_name(run_file(kind, file, [pixels, *other.given], subject), description, subject)
    count = len(images.numbers)
    plain = compare(net[:count], found[:count], TOLERANCE, thresholds)
    resized = compare(net[count:], found[count:], RESIZED_TOLERANCE, thresholds)
    refuse(plain, output, images.source)
    refuse(resized, output, other.what)
    of_files = compare(net[other.places], found[count:], RESIZED_TOLERANCE, thresholds) if len(other.places) else None
    labels = None if images.labels is None else images.labels[images.numbers].numpy()
    scores = {"net": measure_accuracy(net[:count], labels, thresholds)}
    scores["file"] = measure_accuracy(found[:count], labels, thresholds)
    content = file.read_bytes()
    return Proof(
        file=output.name,
        format=kind,
        precision=description.precision,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        ran_in=name_runtime(kind),
        checked_on=images.source,
        agreement=plain,
        resized=resized,
        resized_on=other.what,
        from_files=of_files,
        accuracy={key: value for key, value in scores.items() if value},
        checkpoint=description.checkpoint,
        run=description.run,
        versions=list_versions(("cnnkit", "torch", *_PACKAGES[kind])),
        seconds=round(time.perf_counter() - began, 2),
    )


def _make_int8(
    subject: Subject, file: Path, output: Path, images: CheckImages, plan: Int8, proof: Proof
) -> tuple[Path, Proof]:
    """Make an int8 file of one that agrees with the net, and prove what it costs.

    Raises:
        UserError: it costs too much.
    """
    made = file.with_name("int8.onnx")
    quantize(file, plan.images, made)
    description = open_exported(made).description
    thresholds = np.array(description.thresholds) if description.thresholds is not None else None
    pixels = file.with_name(PIXELS)
    exact, found = (_by_name(run_file("onnx", each, [pixels], subject), description, subject) for each in (file, made))
    labels = None if images.labels is None else images.labels[images.numbers].numpy()
    cost = measure_cost(exact, found, labels, thresholds, plan)
    refuse_cost(cost, output)
    content = made.read_bytes()
    accuracy = {**proof.accuracy, "file": measure_accuracy(found, labels, thresholds)}
    return made, replace(
        proof,
        precision=description.precision,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        accuracy={key: value for key, value in accuracy.items() if value},
        int8=cost,
    )


def _by_name(found: np.ndarray, description: ModelDescription, subject: Subject) -> np.ndarray:
    """Bring the probabilities of a file into the net's order of classes, by the names that the file gives them."""
    names = description.class_names
    if sorted(names) != sorted(subject.data.class_names) or found.shape[1] != len(names):
        raise UserError(f"the file names the classes {', '.join(names[:5])}, which are not the net's")
    return found[:, [names.index(name) for name in subject.data.class_names]]


@contextmanager
def _temporary_folder(output: Path) -> Iterator[Path]:
    """A folder beside the output, so that a file in it can be renamed into place; those of killed processes go."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for stale in output.parent.glob(".*.export"):
            owner = re.fullmatch(r"\.(\d+)\.export", stale.name)
            if owner and not is_alive(int(owner[1])):
                shutil.rmtree(stale, ignore_errors=True)
        folder = output.parent / f".{os.getpid()}.export"
        folder.mkdir()
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error}); name another file") from None
    try:
        yield folder.resolve()
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error}); name another file") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
