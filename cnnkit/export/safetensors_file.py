"""Write the weights of a trained net with all that is needed to build it again, and load such a file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cnnkit.config_files.yaml_files import read_file
from cnnkit.errors import UserError
from cnnkit.export.deployed import predicts_as_net
from cnnkit.export.description import KEY, ModelDescription, read_description
from cnnkit.export.subject import Subject
from cnnkit.files import check_regular
from cnnkit.inference.trained_net import TrainedNet, build_net
from cnnkit.inference.trusted import find_paths
from cnnkit.layers import AuxiliaryHead

_HEAD = ("head_sizes", "head", "head_dropout", "channels_last")  # arguments of tasks that change the net


def write_safetensors(subject: Subject, description: ModelDescription, path: Path) -> None:
    """Write the weights of a net; heads that serve training alone are left out.

    Args:
        subject: the net.
        description: goes into the file's metadata, with the arguments of the net.
        path: of the file.

    Raises:
        UserError: the checkpoint does not say how its net is built, or its task predicts in a way of its own.
    """
    arguments = subject.content.get("hyper_parameters") or {}
    spec = arguments.get("net")
    if not isinstance(spec, dict) or "class_path" not in spec or not predicts_as_net(subject.classifier):
        task = type(subject.classifier).__name__
        raise UserError(
            f"{subject.path}: weights alone do not say what {task} does with its net; choose --format onnx or torch"
        )
    net = subject.classifier.net
    weights = net.state_dict()
    heads = [name for name, module in net.named_modules() if isinstance(module, AuxiliaryHead)]
    absent = [name for name in weights if any(name.startswith(f"{head}.") for head in heads)]
    needed = {"class_path": spec["class_path"], "init_args": _without_folders(spec.get("init_args") or {})}
    needed |= {key: arguments[key] for key in _HEAD if key in arguments}
    counts = subject.classifier.correction.class_counts
    needed |= {"absent": absent, "class_counts": None if counts is None else list(counts)}
    full = dataclasses.replace(description, net=needed)
    kept = {name: value.contiguous().clone() for name, value in weights.items() if name not in absent}
    path.write_bytes(save(kept, {KEY: full.to_json()}))  # save_file makes a file that only its owner can read


def open_safetensors(path: Path, configs: Sequence[Path] = ()) -> tuple[TrainedNet, ModelDescription]:
    """Build the net of a file of weights that `write_safetensors` has written, in evaluation mode, on the CPU.

    Args:
        path: of the file.
        configs: configurations whose classes may be imported, besides cnnkit's and torch's.

    Raises:
        UserError: the file is missing, damaged, or without a description; or its net cannot be built.
    """
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):
        raise UserError(f"{path}: damaged, or no file of weights; export it again") from None
    description = read_description(text, path)
    trusted = {name for config in configs for name in find_paths(read_file(config).values)}
    net = _build(description.net, weights, trusted, path)
    thresholds = None if description.thresholds is None else torch.tensor(description.thresholds)
    correction = description.correction
    correction.class_counts = description.net.get("class_counts")
    return TrainedNet(net, description.tta, thresholds, correction).eval(), description  # type: ignore[arg-type]


def _build(spec: dict[str, Any], weights: dict[str, Tensor], trusted: set[str], path: Path) -> nn.Module:
    try:
        net = build_net(spec, spec, trusted)
        own, absent = net.state_dict(), set(spec["absent"])
        net.load_state_dict({**{name: own[name] for name in absent}, **weights})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # jsonargparse, the net's class and torch each raise their own
        raise UserError(f"{path}: its net cannot be built ({' '.join(str(error).split())[:200]})") from error
    return net


def _without_folders(value: Any) -> Any:
    """Plain values in which a file of this machine is its name alone: its content is in the weights."""
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(part) for part in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
