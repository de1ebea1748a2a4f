"""What the variants of a study come to: net, data, code, and the one precision that all of them share."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from cnnkit.cli.parsing.build import Built, build_from_config
from cnnkit.errors import UserError
from cnnkit.inspection.complexity import complexity
from cnnkit.layers.probing import image_shape
from cnnkit.precision import PrecisionChoice, default_precision, resolve_precision
from cnnkit.runs import RunFolder
from cnnkit.runs.identity import code_version
from cnnkit.study.engine import Engine, Execute, ResolvedVariant
from cnnkit.study.plan import Plan, Planned, Variant
from cnnkit.study.precision import choose_precision


def make_engine(plan: Plan, planned: Sequence[Planned], root: Path, execute: Execute) -> Engine:
    """The engine of a study: each variant's task and data are built once, its data read, nothing is trained.

    Args:
        plan: the study.
        planned: the runs to do.
        root: folder of the run folders.
        execute: see `Engine`.

    Raises:
        UserError: for a variant that cannot be built, or runs in different precisions.
    """
    built = _build_all(plan, [p.variant for p in planned])
    resolved = {name: _resolve(each) for name, each in built.items()}
    choices = _left_open(built)
    if not choices:
        return Engine(root, resolved, execute)
    open_runs = [p for p in planned if p.variant.name in choices]
    earlier = Engine(root, resolved, execute).list_precisions(open_runs)
    chosen = _announce(choose_precision(root, earlier, list(choices.values())))
    for name in choices:
        config = {**resolved[name].config, "trainer": {**resolved[name].config["trainer"], "precision": chosen}}
        resolved[name] = replace(resolved[name], config=config, settled=_words(chosen))
    return Engine(root, resolved, execute)


def settle_search(plan: Plan, root: Path) -> None:
    """Give the trials of a search one precision, that of the trials there are if there are some."""
    built = _build_all(plan, plan.variants)
    choices = _left_open(built)
    if not choices:
        return
    manifests = [RunFolder(file.parent).manifest() for file in sorted(root.glob("trial-*/*/manifest.json"))]
    earlier = [str(m["precision"]["value"]) for m in manifests if m.get("status") == "finished" and m.get("precision")]
    chosen = _announce(choose_precision(root, earlier, list(choices.values())))
    plan.variants = [replace(v, words=(*v.words, *_words(chosen))) if v.name in choices else v for v in plan.variants]


def _build_all(plan: Plan, variants: Sequence[Variant]) -> dict[str, Built]:
    """Build each variant, and print each note once, with the variants that it is about unless these are all."""
    built: dict[str, Built] = {}
    notes: dict[str, list[str]] = {}  # the variants' names by line
    for name, variant in {each.name: each for each in variants}.items():
        built[name], lines = _build(plan, variant)
        for line in lines:
            notes.setdefault(line, []).append(name)
    for line, names in notes.items():
        print(line if len(names) == len(built) else f"{', '.join(names)}: {line}", file=sys.stderr)
    return built


def _build(plan: Plan, variant: Variant) -> tuple[Built, list[str]]:
    """Build a variant, and return with it the notes about what a class that takes another's place has lost."""
    try:
        with contextlib.redirect_stderr(said := io.StringIO()):  # "Seed set to 0"
            built = build_from_config(variant.words)
    except UserError as error:
        raise UserError(f"{plan.name}, variant {variant.name}: {error}") from error
    trainer = built.config["trainer"]
    if trainer["precision"] is not None and isinstance(trainer["accelerator"], str):  # as the run's own file will say
        trainer["precision"] = resolve_precision(trainer["precision"], trainer["accelerator"])
    return built, [line for line in dict.fromkeys(said.getvalue().splitlines()) if line.startswith("note: ")]


def _resolve(built: Built) -> ResolvedVariant:
    task, data, config = built.task, built.data, built.config
    data.prepare_data()
    describe: Any = getattr(data, "describe", dict)
    net: nn.Module = getattr(task, "net", task)
    parameters = sum(p.numel() for p in net.parameters())
    macs = _macs(net, getattr(data, "shape", None))
    return ResolvedVariant(config, code_version(config), describe(), parameters, macs)


def _macs(net: nn.Module, shape: Any) -> int | None:
    try:
        return complexity(net, shape and image_shape(net, shape["image_size"], shape["in_channels"])).macs
    except UserError:  # a net that cannot be tried out has no such figure
        return None


def _left_open(built: dict[str, Built]) -> dict[str, PrecisionChoice]:
    """What machine and net say, for the variants that name no precision."""
    return {
        name: default_precision(str(each.config["trainer"]["accelerator"]), getattr(each.task, "net", each.task))
        for name, each in built.items()
        if each.config["trainer"]["precision"] is None
    }


def _announce(choice: PrecisionChoice) -> str:
    print(f"precision of all runs: {choice.precision} ({choice.reason})", flush=True)
    return choice.precision


def _words(precision: str) -> tuple[str, ...]:
    return (f"--trainer.precision={precision}",)
