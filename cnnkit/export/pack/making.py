"""Make a pack of a run: model files with their proof, card, script, check, hashes; refused where its check fails."""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.export.exporting import Kind, export_run
from cnnkit.export.pack import emptiness, places
from cnnkit.export.pack.card import Card, render_card
from cnnkit.export.pack.configuration import refuse_leaks, write_public_config
from cnnkit.export.pack.contents import (
    FILE_CONTENTS,
    FILES,
    SCRIPT,
    list_class_names,
    list_requirements,
    write_check,
)
from cnnkit.export.pack.describing import describe_proof, describe_subject
from cnnkit.export.proof import Proof
from cnnkit.export.subject import CheckImages, Subject
from cnnkit.files import writing_output
from cnnkit.runs import RunFolder

# Modules that the environment of a check must not have, unless they are among the packages of a model file.
_ABSENT = ("cnnkit", "lightning", "torchvision", "timm", "torch")


@dataclass(frozen=True)
class Contents:
    """What a pack is to contain.

    Args:
        formats: ``onnx``, ``torch``, ``safetensors``; one of the first two, so that the pack runs without cnnkit.
        license: of the model; None if it is not stated.
        license_text: its text, for the file LICENSE.

    Raises:
        UserError: a format is unknown or named twice, or none runs without cnnkit.
    """

    formats: Sequence[Kind] = ("onnx",)
    license: str | None = None
    license_text: str | None = None

    def __post_init__(self) -> None:
        for kind in self.formats:
            if kind not in FILES:
                raise UserError(f"formats has {kind!r}: choose from {', '.join(FILES)}")
        if len(set(self.formats)) < len(self.formats):
            raise UserError(f"formats is {','.join(self.formats)}: name each once")
        if not {"onnx", "torch"} & set(self.formats):
            raise UserError("a pack needs onnx or torch: weights alone run in cnnkit only, so nobody could check them")


@dataclass(frozen=True)
class Pack:
    """A pack that has passed its check.

    Args:
        path: the folder or zip file.
        files: names with sizes in bytes.
        checks: what the check has said, by model file.
        left_out: keys of the configuration that it does not contain.
        untested: why its card has no scores of test images; empty if it has.
    """

    path: Path
    files: dict[str, int]
    checks: dict[str, str]
    left_out: Sequence[str]
    untested: str


def pack_run(subject: Subject, images: CheckImages, output: Path, contents: Contents) -> Pack:
    """Make a pack of a run's checkpoint.

    Args:
        subject: the checkpoint, with its run.
        images: to compare each model file with the net on.
        output: a folder, or a file that ends in .zip; an earlier pack there is replaced.
        contents: what it is to contain.

    Raises:
        UserError: there is no run, a model file differs from the net, the check fails, or the output cannot be
            written. Nothing is left behind then.
    """
    if (run := subject.run) is None:
        raise UserError(f"{subject.path}: a pack is made of a run folder, which says what was trained on what")
    places.check_place(output)
    with tempfile.TemporaryDirectory(prefix="cnnkit-pack-") as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        card = _fill(made, run, subject, images, contents)
        files = {path.relative_to(made).as_posix(): path.stat().st_size for path in _list_files(made)}
        if not places.is_zip(output):
            checks = check_pack(made, contents.formats)
            places.write_folder(made, output)
        else:
            with writing_output(output) as file:
                places.write_zip(made, file, run.path.resolve().parent.name or "model")
                file.flush()
                unpacked = Path(temporary, "unpacked")
                with zipfile.ZipFile(file.name) as archive:
                    archive.extractall(unpacked)
                checks = check_pack(next(unpacked.iterdir()), contents.formats)
    return Pack(output, files, checks, card.left_out, card.results.missing)


def check_pack(folder: Path, formats: Sequence[Kind]) -> dict[str, str]:
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


def _fill(made: Path, run: RunFolder, subject: Subject, images: CheckImages, contents: Contents) -> Card:
    """Write all files of a pack; return its card."""
    card = describe_subject(run, subject)
    if card.results.missing:  # a proof compares then, and scores nothing
        images = replace(images, labels=None)
    proofs = [_prove(subject, kind, made / FILES[kind][0], images) for kind in contents.formats]
    write_check(made, subject)
    shutil.copyfile(SCRIPT, made / SCRIPT.name)
    config, left_out = write_public_config(run)
    texts = {
        "class_names.txt": list_class_names(subject.data.class_names),
        "requirements.txt": list_requirements(contents.formats),
        "config.yaml": config,
        **({} if contents.license_text is None else {"LICENSE": contents.license_text}),
    }
    for name, text in texts.items():
        (made / name).write_text(text, encoding="utf-8")
    names = {path.relative_to(made).as_posix() for path in _list_files(made)}
    card = replace(
        card,
        left_out=list(left_out),
        license=contents.license,
        has_license_file="LICENSE" in names,
        proofs=[describe_proof(proof) for proof in proofs],
        files=[(name, what) for name, what in FILE_CONTENTS.items() if name in names],
    )
    (made / "README.md").write_text(render_card(card), encoding="utf-8")
    refuse_leaks(made, left_out)
    sums = [f"{_hash(path)}  {path.relative_to(made).as_posix()}\n" for path in _list_files(made)]
    (made / places.SUMS).write_text("".join(sums), encoding="utf-8")
    return card


def _prove(subject: Subject, kind: Kind, file: Path, images: CheckImages) -> Proof:
    """Write a model file and its proof, without the time it took, so that the same pack has the same bytes."""
    proof = export_run(subject, kind, file, images)
    facts = {key: value for key, value in proof.as_json().items() if key != "seconds"}
    file.with_name(f"{file.name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return proof


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
