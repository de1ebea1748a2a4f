"""``summary``: what a net is made of and what it costs, layer by layer."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit import runs
from cnnkit.cli.outputs import check_output
from cnnkit.cli.parsing.options import Options, add_config, add_json, configuration_words, positive
from cnnkit.errors import UserError
from cnnkit.reporting.tables import extent
from cnnkit.reporting.terminal import print_rows, print_table

if TYPE_CHECKING:
    from cnnkit.inspection.complexity import Complexity, LayerRow

_DESCRIPTION = """\
Prints, for one image, the layers in the order in which they run: the shape of the output, parameters,
multiply-accumulates (MACs), the receptive field of one value of the output and the stride between neighboring fields,
in pixels, and the memory of output and gradient. What no layer does, such as the sum at the end of a residual block,
has no row. The data need not be there, and no weights are fetched.
"""


def arguments() -> Options:
    """Its words."""
    options = Options("summary", _DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("--run", metavar="RUN", help="the net of a run instead, with the weights of its best epoch")
    options.add_argument("--image_size", metavar="N[xM]", type=_size, help="another size, or height x width, in pixels")
    options.add_argument("--depth", metavar="N", type=positive, help="modules down to that depth; 1: the direct parts")
    options.add_argument("--effective", metavar="FILE", help="draw the effective receptive field of the last map")
    options.add_argument("--layer", metavar="NAME", help="with --effective: of this layer instead")
    options.add_argument("--explain", action="store_true", help="derive the shape and the parameters of each row")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print the table, or the same figures as JSON."""
    if args.layer and not args.effective:
        raise UserError("--layer names the layer that --effective draws: give both")
    if args.effective:
        check_output(args.effective)
    task, image, callbacks = _load_from_run(args) if args.run else _build_from_config(args)
    frozen = _freeze_as_callbacks_do(task, callbacks)
    if args.image_size:
        image = (image[0], *args.image_size)
    found = _count(task, image, args.depth)
    from cnnkit.classroom.derivation import derive_rows

    why = derive_rows(found) if args.explain else []
    if args.json:
        print(json.dumps(_as_json(found) | ({"why": why} if args.explain else {}), indent=2))
    else:
        _print(found, _title(task, image), frozen + _notes(task, found) + (["", *why] if why else []))
    if args.effective:
        _draw(task, args.layer, image, Path(args.effective), say=not args.json)
    return 0


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not height.isdecimal() or not (width or height).isdecimal() or "0" in (height, width):
        raise argparse.ArgumentTypeError(f"expected pixels, such as 64 or 48x64, got {text!r}")
    return int(height), int(width or height)


# ---- the net ---------------------------------------------------------------------------------------------------------


def _build_from_config(args: argparse.Namespace) -> tuple[Any, tuple[int, int, int], Any]:
    """The task of a configuration, the shape of its images, and the plain description of its callbacks."""
    from cnnkit.cli.parsing.build import build_from_config

    built = build_from_config(configuration_words(args))
    image = _image(built.task, getattr(built.data, "shape", None) or {})
    return built.task, image, built.config["trainer"]["callbacks"]


def _load_from_run(args: argparse.Namespace) -> tuple[Any, tuple[int, int, int], Any]:
    from cnnkit.cli.inference import find_configs
    from cnnkit.config_files.yaml_files import read_file
    from cnnkit.inference.task_loading import load_task

    if args.others:
        raise UserError(f"{args.others[0]}: the net of a run is what it is; give a --config FILE to change it")
    run = runs.choose_finished(args.run)
    task, checkpoint = load_task(run.best, [run.config, *find_configs(args.config)])
    trainer = read_file(run.config).values.get("trainer") or {}
    return task, _image(task, checkpoint.get("data") or {}), trainer.get("callbacks")


def _freeze_as_callbacks_do(task: Any, callbacks: Any) -> list[str]:
    """Freeze what a callback of the configuration freezes before training, and return a note about each."""
    from cnnkit.callbacks import Whitening
    from cnnkit.cli.parsing.classes import resolve_class

    notes = []
    for node in callbacks or []:
        path = str(node.get("class_path", "")) if isinstance(node, dict) else ""
        if path.startswith("cnnkit.") and resolve_class(path) is Whitening:
            whitening = Whitening(**(node.get("init_args") or {}))
            layer = whitening.freeze_before_training(task)
            name = next(name for name, module in _net(task).named_modules() if module is layer)
            bias = f"; its bias trains for {whitening.bias_epochs} epochs" if layer.bias is not None else ""
            notes.append(f"{name}: Whitening sets its filters and freezes them{bias}")
    return notes


def _image(task: Any, data: dict[str, Any]) -> tuple[int, int, int]:
    from cnnkit.layers.probing import image_shape

    size = data.get("image_size")
    return image_shape(_net(task), tuple(size) if isinstance(size, list) else size, data.get("in_channels"))


def _net(task: Any) -> Any:
    return getattr(task, "net", task)


def _count(task: Any, image: tuple[int, int, int], depth: int | None) -> "Complexity":
    """With the heads, where they train, and frozen what does not train in the first epoch."""
    from cnnkit.inspection.complexity import complexity
    from cnnkit.layers import forward_with_heads
    from cnnkit.tasks import AuxiliaryLossTask, TransferTask

    net = _net(task)
    if isinstance(task, TransferTask):
        for stage in task.stages[: len(task.stages) - task.count_released(0)]:
            stage.freeze(True)
    if not isinstance(task, AuxiliaryLossTask):
        return complexity(net, image, depth)
    if not task.after:
        return complexity(net, image, depth, run=net.forward_aux)
    heads = dict(zip(task.after, task.heads.values(), strict=True))
    parts = {"": net, **{f"heads.{name}": head for name, head in task.heads.items()}}
    return complexity(net, image, depth, parts, lambda images: forward_with_heads(net, heads, images))


# ---- what is shown ---------------------------------------------------------------------------------------------------


def _title(task: Any, image: tuple[int, int, int]) -> str:
    return f"{type(_net(task)).__name__} on one image of {'x'.join(map(str, image))}, {type(task).__name__}"


def _notes(task: Any, found: "Complexity") -> list[str]:
    notes = []
    if getattr(task, "mode", None) == "gradual":
        notes.append(f"frozen at the start; stages are released at the epochs {', '.join(map(str, task.unfreeze_at))}")
    if found.other_parameters:
        notes.append(f"{found.other_parameters:,} parameters are in no row: of modules that do not run, or of no layer")
    if found.other_macs:
        notes.append(f"{found.other_macs:,} MACs are in no row: of operations that no layer does")
    return notes


def _print(found: "Complexity", title: str, notes: list[str]) -> None:
    numbers = ("parameters", "MACs", "field", "stride", "MB")
    print_table(["layer", "type", "output", *numbers], list(map(_cells, found.rows)), title=title, numbers=numbers)
    trained = found.parameters - found.frozen
    lines = {
        "parameters": f"{found.parameters:,} ({trained:,} trainable, {found.frozen:,} frozen)",
        "MACs": f"{found.macs:,}",
        "input": f"{found.input_megabytes:.2f} MB",
        "forward/backward": f"{found.forward_backward_megabytes:.2f} MB",
        "parameter memory": f"{found.parameter_megabytes:.2f} MB",
        "total": f"{found.megabytes:.2f} MB",
    }
    print_rows(lines)
    if notes:
        print("\n".join(notes), flush=True)


def _cells(row: "LayerRow") -> list[str]:
    frozen = "" if not row.frozen else " frozen" if row.frozen == row.parameters else f" ({row.frozen:,} frozen)"
    return [
        row.name or "(the net)",
        row.type,
        str(list(row.shape)),
        f"{row.parameters:,}{frozen}",
        f"{row.macs:,}" if row.macs else "",
        "?" if row.field is None else extent(row.field.size),
        extent(row.field.stride) if row.field and row.field.stride else "",
        f"{row.megabytes:.2f}",
    ]


def _as_json(found: "Complexity") -> dict[str, Any]:
    totals = ("parameters", "frozen", "macs", "input_megabytes", "forward_backward_megabytes", "parameter_megabytes")
    return {
        "image": found.image,
        "layers": [
            {
                **{name: getattr(row, name) for name in ("name", "type", "parameters", "frozen", "macs", "megabytes")},
                "output": row.shape,
                "receptive_field": row.field and ["all" if math.isinf(n) else n for n in row.field.size],
                "stride": row.field and row.field.stride,
            }
            for row in found.rows
        ],
        **{name: getattr(found, name) for name in (*totals, "megabytes")},
    }


def _draw(task: Any, layer: str | None, image: tuple[int, int, int], path: Path, say: bool) -> None:
    from cnnkit.inspection.receptive_field import draw_effective_field, effective_receptive_field

    net = _net(task)
    gradient = effective_receptive_field(net, layer, image_size=image[1:])
    try:
        draw_effective_field(gradient, path, f"{type(net).__name__}{f' {layer}' if layer else ''}")
    except (OSError, ValueError) as error:  # matplotlib knows no such format
        raise UserError(f"{path}: cannot be written ({error}); name a file such as field.png") from None
    if say:
        print(f"{'effective field':18}{path}")
