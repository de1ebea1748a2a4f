"""Make a pack of a run: model files with their proof, card, script, check, hashes; refused where its check fails."""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.export.exporting import Kind, export_run
from cnnkit.export.pack import emptiness, places
from cnnkit.export.pack.card import render_card
from cnnkit.export.pack.configuration import write_public_config
from cnnkit.export.pack.contents import (
    FILE_CONTENTS,
    FILES,
    SCRIPT,
    list_class_names,
    list_requirements,
    read_license,
    write_check,
)
from cnnkit.export.pack.describing import describe_subject
from cnnkit.export.proof import Proof
from cnnkit.export.subject import CheckImages, Subject
from cnnkit.files import writing_output
from cnnkit.runs import RunFolder

_ABSENT = ("cnnkit", "lightning", "torchvision", "timm", "torch")


@dataclass(frozen=True)
class Pack:
    """A pack that has passed its check.

    Args:
        path: the folder or zip file.
        files: names with sizes in bytes.
        checks: what the check has said, by model file.
        left_out: keys of the configuration that it does not contain.
        tested: whether its card has scores of test images.
    """

    path: Path
    files: dict[str, int]
    checks: dict[str, str]
    left_out: list[str]
    tested: bool


def pack_run(
    subject: Subject,
    images: CheckImages,
    output: Path,
    formats: Sequence[Kind] = ("onnx",),
    *,
    license: str | None = None,
    license_file: Path | None = None,
) -> Pack:
    """Make a pack of a run's best checkpoint.

    Args:
        subject: the checkpoint, with its run.
        images: to compare each model file with the net on.
        output: a folder, or a file that ends in .zip; an earlier pack there is replaced.
        formats: ``onnx``, ``torch``, ``safetensors``; one of the first two, so that the pack runs without cnnkit.
        license: of the model; None if it is not stated.
        license_file: its text.

    Raises:
        UserError: an argument is wrong, a model file differs from the net, the check fails, or the output cannot be
            written. Nothing is left behind then.
    """
    check_formats(formats)
    places.check_place(output)
    if (run := subject.run) is None:
        raise UserError(f"{subject.path}: a pack is made of a run folder, which says what was trained on what")
    with tempfile.TemporaryDirectory(prefix="cnnkit-pack-") as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        left_out, tested = _fill(made, run, subject, images, formats, license, license_file)
        files = {path.relative_to(made).as_posix(): path.stat().st_size for path in _list_files(made)}
        if not places.is_zip(output):
            checks = check_pack(made, formats)
            places.write_folder(made, output)
        else:
            with writing_output(output) as file:
                places.write_zip(made, file, run.path.resolve().parent.name)
                file.flush()
                unpacked = Path(temporary, "unpacked")
                with zipfile.ZipFile(file.name) as archive:
                    archive.extractall(unpacked)
                checks = check_pack(next(unpacked.iterdir()), formats)
    return Pack(output, files, checks, left_out, tested)


def check_formats(formats: Sequence[str]) -> None:
    """Check the kinds of files.

    Raises:
        UserError: one is unknown or named twice, or none runs without cnnkit.
    """
    for kind in formats:
        if kind not in FILES:
            raise UserError(f"formats has {kind!r}: choose from {', '.join(FILES)}")
    if len(set(formats)) < len(formats):
        raise UserError(f"formats is {','.join(formats)}: name each once")
    if not {"onnx", "torch"} & set(formats):
        raise UserError("a pack needs onnx or torch: weights alone run in cnnkit only, so nobody could check them")


def check_pack(folder: Path, formats: Sequence[str]) -> dict[str, str]:
    """Run the script of a pack on its synthetic images where only the packages of its requirements exist.

    Returns:
        What it printed, by model file.

    Raises:
        UserError: it fails, or a probability differs from the expected one by more than allowed.
    """
    found = {}
    for kind in formats:
        name, packages = FILES[kind]
        if packages:
            with tempfile.TemporaryDirectory(prefix="cnnkit-empty-") as place:
                python = emptiness.make_environment(Path(place, "environment"), packages)
                absent = [module for module in _ABSENT if module not in packages]
                words = ["--check", "--model", name]
                found[name] = emptiness.run_alone(python, folder / SCRIPT.name, words, absent)
    return found


def _fill(
    made: Path,
    run: RunFolder,
    subject: Subject,
    images: CheckImages,
    formats: Sequence[Kind],
    license: str | None,
    license_file: Path | None,
) -> tuple[list[str], bool]:
    """Write all files of a pack; return the keys that its configuration lacks, and whether it has test scores."""
    text = None if license_file is None else read_license(license_file)  # before the work
    proofs = [export_run(subject, kind, made / FILES[kind][0], images) for kind in formats]
    write_check(made, subject)
    shutil.copyfile(SCRIPT, made / SCRIPT.name)
    config, left_out = write_public_config(run)
    texts = {
        "class_names.txt": list_class_names(subject.data.class_names),
        "requirements.txt": list_requirements(formats),
        "config.yaml": config,
        **({} if text is None else {"LICENSE": text}),
    }
    card = describe_subject(run, subject, left_out=left_out, license=license, has_license_file=text is not None)
    there = [*(path.name for path in _list_files(made) if path.parent == made), *texts]
    files = [(name, content) for name, content in FILE_CONTENTS.items() if name in there]
    texts["README.md"] = render_card(replace(card, proofs=[describe_proof(proof) for proof in proofs], files=files))
    for name, content in texts.items():
        (made / name).write_text(content, encoding="utf-8")
    sums = [f"{_hash(path)}  {path.relative_to(made).as_posix()}\n" for path in _list_files(made)]
    (made / places.SUMS).write_text("".join(sums), encoding="utf-8")
    return left_out, not card.results.missing


def describe_proof(proof: Proof) -> str:
    """Return a sentence: how a model file was compared with the net, and how far they agree."""
    found = proof.agreement
    return (
        f"{proof.file} ({proof.precision}, {proof.bytes / 1e6:.1f} MB) was run on {found.images:,} {proof.checked_on} "
        f"in {proof.ran_in}: {found.differing_classes} have another class than with the net itself, and the largest "
        f"difference of a probability is {found.largest_difference:.1e}."
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
