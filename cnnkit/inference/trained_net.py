"""A trained net that predicts as its task does, without Lightning, whose import takes longer than the prediction.

This serves cnnkit's own tasks and nets. A checkpoint of anything else (a task of one's own, which may override
`predict_step`, a net from elsewhere) gets its whole task, see `cnnkit.inference.task_loading`; so does every checkpoint
that cannot be rebuilt here, and the task then says why.
"""

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

import cnnkit.models
from cnnkit.errors import UserError
from cnnkit.inference.trusted import TRUSTED, add_definitions, allow_imports, find_paths
from cnnkit.tasks.correction import Correction
from cnnkit.tasks.loss import match_dtype
from cnnkit.tasks.stages import find_head, make_head
from cnnkit.tasks.tta import TTA, average_views
from cnnkit.weights import skip_pretrained
from cnnkit.weights.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from cnnkit.tasks import ClassificationTask

# The tasks that predict with their net alone, and what their checkpoints hold besides its weights.
_TASKS = {"ClassificationTask": (), "AuxiliaryLossTask": ("heads.",), "TransferTask": (), "DistillationTask": ()}
_BUILT_BY = "lightning.pytorch.cli.instantiate_module"


class TrainedNet(nn.Module):
    """A net as `ClassificationTask` runs it in prediction.

    Args:
        net: maps images (B, C, H, W) to logits (B, K).
        tta: views of each image to average over.
        thresholds: with several labels an image, one for each class, (K,).
        correction: of the logits.
    """

    def __init__(
        self,
        net: nn.Module,
        tta: TTA = "none",
        thresholds: Tensor | None = None,
        correction: Correction | None = None,
    ) -> None:
        super().__init__()
        self.correction = correction or Correction()
        self.net, self.tta, self.multilabel = net, tta, thresholds is not None
        self.thresholds = torch.zeros(0) if thresholds is None else thresholds

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        return self.net(match_dtype(images, self.net))  # type: ignore[no-any-return]

    def predict_step(self, images: Tensor, batch_idx: int = 0) -> Tensor:
        """Return class probabilities (B, K), float32."""
        logits = self.correction.adjust(average_views(self, images, self.tta))
        logits = self.correction.scale(logits, self.tta)
        return logits.sigmoid() if self.multilabel else logits.softmax(dim=1)


if TYPE_CHECKING:
    Classifier = TrainedNet | ClassificationTask  # both have these attributes and predict_step


def load_classifier(
    path: Path, configs: Sequence[Path] = (), tta: TTA | None = "none"
) -> "tuple[Classifier, dict[str, Any]]":
    """Rebuild what predicts in a checkpoint, in evaluation mode, on the CPU, in float32; return it and the checkpoint.

    Args:
        path: a checkpoint of a run that was started from the command line.
        configs: configuration files whose classes may be imported.
        tta: views that a prediction averages over; None for those of the task's configuration.

    Raises:
        UserError: as `cnnkit.inference.task_loading.load_task`.
    """
    checkpoint = load_checkpoint(path)
    found = rebuild_net(checkpoint)
    if found is not None:
        found.tta = found.tta if tta is None else tta
        return found, checkpoint
    from cnnkit.inference.task_loading import load_task  # imports Lightning

    return load_task(path, configs, checkpoint, tta)


def rebuild_net(checkpoint: dict[str, Any]) -> TrainedNet | None:
    """Rebuild the net of a checkpoint, in evaluation mode; None where its task is needed, or the net does not fit."""
    arguments = checkpoint.get("hyper_parameters")
    if not isinstance(arguments, dict) or not _is_ordinary(checkpoint, arguments):
        return None
    try:
        net = build_net(arguments["net"], arguments)
        weights = checkpoint["state_dict"].items()
        correction = Correction(arguments.get("posthoc_tau", 0.0))
        correction.load(checkpoint)
        net.load_state_dict({name.removeprefix("net."): value for name, value in weights if name.startswith("net.")})
    except Exception:  # the task will say why
        return None
    thresholds = checkpoint["thresholds"].cpu() if arguments.get("multilabel") else None
    return TrainedNet(net, arguments.get("tta", "none"), thresholds, correction).eval()


def _is_ordinary(checkpoint: dict[str, Any], arguments: dict[str, Any]) -> bool:
    """Whether prediction needs only the net: task and net are cnnkit's own, and nothing else would be imported."""
    task, net = _own_name(arguments.get("_class_path"), "tasks"), arguments.get("net")
    if task not in _TASKS or arguments.get("_instantiator") != _BUILT_BY:
        return False
    if not isinstance(net, dict) or net.keys() - {"class_path", "init_args"}:
        return False
    others = find_paths([arguments.get("optimizer"), arguments.get("scheduler")])
    trusted = all(path.startswith(tuple(f"{name}." for name in TRUSTED)) or path in TRUSTED for path in others)
    parts = ("net.", *_TASKS[task])
    return (
        trusted
        and _own_name(net.get("class_path"), "models") in cnnkit.models.__all__
        and arguments.get("tta", "none") in get_args(TTA)
        and (not arguments.get("multilabel") or torch.is_tensor(checkpoint.get("thresholds")))
        and str(checkpoint["pytorch-lightning_version"]).startswith("2.")  # others are converted first
        and not checkpoint.keys() & {"hparams", "module_arguments"}
        and all(name.startswith(parts) for name in checkpoint["state_dict"])
    )


def _own_name(path: Any, part: str) -> str:
    """The name of a class of cnnkit by its path; empty for any other path."""
    module, _, name = str(path).rpartition(".")
    return name if module == "cnnkit" or f"{module}.".startswith(f"cnnkit.{part}.") else ""


def build_net(spec: dict[str, Any], arguments: dict[str, Any], trusted: Collection[str] = ()) -> nn.Module:
    """Build a net, without its weights.

    Args:
        spec: ``class_path`` and ``init_args`` of the net.
        arguments: of its task, which may replace the head and change the memory format.
        trusted: names that may be imported, besides those of cnnkit and torch.

    Raises:
        UserError: the class is neither cnnkit's nor trusted.
    """
    path = spec["class_path"]
    if _own_name(path, "models") not in cnnkit.models.__all__ and path not in trusted:
        raise UserError(
            f"needs {path}, which is neither cnnkit's nor torch's and is not imported unasked; if you trust it, name "
            "the configuration that it was trained with (--config FILE)"
        )
    with skip_pretrained(), allow_imports(add_definitions(set(find_paths(spec)) & set(trusted))):
        net = _instantiate(path, spec.get("init_args") or {}, trusted)
        if sizes := arguments.get("head_sizes"):
            head = find_head(net, arguments.get("head", "auto"))
            new = make_head(net.get_submodule(head), tuple(sizes), arguments.get("head_dropout", 0.0))
            net.set_submodule(head, new)
    return net.to(memory_format=torch.channels_last) if arguments.get("channels_last", True) else net


def _instantiate(path: str, init_args: dict[str, Any], trusted: Collection[str]) -> nn.Module:
    module, _, name = path.rpartition(".")
    kind = getattr(import_module(module), name)
    if path not in trusted and kind is not getattr(cnnkit.models, name):
        raise UserError(f"{path} is no net of cnnkit")
    if not isinstance(kind, type):  # a function that makes nets, such as torchvision has
        made: nn.Module = kind(**init_args)
        return made
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "net")
    built: nn.Module = parser.instantiate(parser.parse_object({"net": init_args})).net
    return built


@torch.inference_mode()
def predict_probabilities(classifier: "Classifier", images: Tensor, names: Sequence[str]) -> Tensor:
    """The probabilities (B, K) of normalized images, float32 on the CPU.

    Raises:
        UserError: the net has another number of classes than its checkpoint names.
    """
    probabilities = classifier.predict_step(images, 0).float().cpu()
    if probabilities.shape[1] != len(names):
        raise UserError(f"the net has {probabilities.shape[1]} classes, but its checkpoint names {len(names)}")
    return probabilities


def use_tau(classifier: "Classifier", tau: float, checkpoint: dict[str, Any]) -> None:
    """Adjust the logits of predictions by ``tau`` from now on; see `Correction`.

    Raises:
        UserError: it is no number from 0 up, the training was no plain cross entropy, or the sizes of the classes are
            not known.
    """
    arguments = checkpoint.get("hyper_parameters") or {}
    plain = arguments.get("loss", "cross_entropy") == "cross_entropy" and arguments.get("class_weights") is None
    classifier.correction.use_tau(tau, plain_loss=plain and not classifier.multilabel)
    classifier.correction.adjust(torch.zeros(1, len(classifier.correction.class_counts or [0])))  # or say why not


def top_classes(probabilities: Tensor, names: Sequence[str], count: int) -> list[list[tuple[str, float]]]:
    """For each row (B, K), the most probable classes with their probabilities."""
    values, labels = probabilities.topk(min(count, len(names)))
    rows = zip(labels.tolist(), values.tolist(), strict=True)
    return [[(names[k], p) for k, p in zip(*row, strict=True)] for row in rows]


def find_device() -> torch.device:
    """The machine's accelerator, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
