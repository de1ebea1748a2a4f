"""What a model card says of net, training, choice and data, from the run folder and the checkpoint."""

from collections.abc import Sequence
from typing import Any

from cnnkit.data.originals.sources import SAMPLE, SOURCES, Source
from cnnkit.metric_names import MONITOR, describe_best_score, format_metric
from cnnkit.runs.records import RunRecord, describe_stop

Rows = list[tuple[str, str]]
_SOURCES = {
    "MNIST": SOURCES["mnist"],
    "FashionMNIST": SOURCES["fashion_mnist"],
    "FashionMNISTSample": SAMPLE,
    "CIFAR10": SOURCES["cifar10"],
}
_PARTS = {"train_images": "to train", "val_images": "to validate", "test_images": "to test"}


def find_data_source(record: RunRecord) -> Source | None:
    """Return the published data set of a run, if it is one that cnnkit knows."""
    path = str(record.config.get("data", ""))
    module, _, name = path.rpartition(".")
    return _SOURCES.get(name) if module == "cnnkit" or module.startswith("cnnkit.data") else None


def describe_training(record: RunRecord, source: Source | None) -> Rows:
    """Return rows about data, recipe, time, device and versions, as far as the run has recorded them."""
    manifest = record.manifest
    data = manifest.get("data") or {}
    rows: Rows = [("data set", source.title if source else str(data.get("name", "not recorded")))]
    rows += _describe_images(data)
    epochs = str(manifest.get("epochs", "not recorded"))
    if stop := describe_stop(manifest.get("stopped_early") or {}):
        epochs += f", stopped early {stop}"
    if record.facts["status"] != "finished":
        epochs += f"; the run is {record.facts['status']}, not finished"
    rows += [("epochs", epochs), ("seed", str(manifest.get("seed", "not recorded")))]
    rows += _describe_recipe(record)
    times, device = manifest.get("times") or {}, manifest.get("device") or {}
    if (seconds := times.get("train_seconds", times.get("fit_seconds"))) is not None:
        rows.append(("duration", f"{seconds:,.1f} s"))
    if device:
        kind = str(device.get("accelerator", "")).removesuffix("Accelerator")
        processor = (manifest.get("machine") or {}).get("cpu")
        rows.append(("device", f"{device.get('devices', 1)} x {kind}" + (f", {processor}" if processor else "")))
    if precision := (manifest.get("precision") or {}).get("value"):
        rows.append(("precision", str(precision)))
    versions = {name: v for name, v in (manifest.get("versions") or {}).items() if name != "platform"}
    return [*rows, ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]


def _describe_images(data: dict[str, Any]) -> Rows:
    parts = [f"{data[key]:,} {name}" for key, name in _PARTS.items() if isinstance(data.get(key), int)]
    if "split_train_images" in data:  # batches or epochs were limited
        parts.append(f"{data['split_train_images']:,} in the whole training part")
    rows: Rows = [("images", ", ".join(parts))] if parts else []
    if data.get("fingerprint"):
        rows.append(("hash of the images", str(data["fingerprint"])))
    if data.get("split"):
        rows.append(("hash of the split", str(data["split"])))
    return rows


def _describe_recipe(record: RunRecord) -> Rows:
    config, data = record.config, record.manifest.get("data") or {}
    rows: Rows = []
    for title, key in (("task", "model"), ("optimizer", "model.optimizer"), ("schedule", "model.scheduler")):
        if config.get(key):
            rows.append((title, str(config[key]).rpartition(".")[2]))
    for title, key in (
        ("learning rate", "model.optimizer.lr"),
        ("weight decay", "model.optimizer.weight_decay"),
        ("batch size", "data.batch_size"),
        ("loss", "model.loss"),
        ("label smoothing", "model.label_smoothing"),
        ("class weights", "model.class_weights"),
    ):
        if config.get(key):
            rows.append((title, str(config[key])))
    augment = [str(transform) for transform in data.get("augment") or []]
    rows.append(("augmentation", ", ".join(augment) or "none"))
    start = "trained before, on other data or in another run" if started_trained(record) else "random"
    return [*rows, ("starting weights", start)]


def started_trained(record: RunRecord) -> bool:
    """Whether the training started from weights that were trained before."""
    return any(record.config.get(key) for key in ("model.net.pretrained", "model.net.weights", "weights"))


def describe_choice(record: RunRecord) -> list[str]:
    """Return sentences: what the epoch was chosen on, and how often the test images were looked at."""
    manifest = record.manifest
    data, best, monitor = (manifest.get(key) or {} for key in ("data", "best", "monitor"))
    metric = monitor.get("metric", MONITOR)
    if not data.get("val_images"):
        lines = ["There were no validation images, so the epoch was not chosen: it is the last one."]
    elif metric in best:
        title, value = describe_best_score(metric, monitor.get("mode")), format_metric(metric, best[metric])
        lines = [
            f"The weights are those of epoch {best.get('epoch')} of {manifest.get('epochs')}, chosen on "
            f"{data['val_images']:,} validation images: {title} {value}. A score by which something was chosen "
            "is a little too good."
        ]
    else:
        lines = ["What the epoch was chosen on is not recorded."]
    looks = manifest.get("test_looks", 0)
    if looks == 1:
        lines.append("The test images were scored once.")
    elif looks:
        lines.append(f"The test images were scored {looks} times, and each look can have led to a choice.")
    return lines


def describe_class_sizes(counts: Sequence[int] | None, names: Sequence[str]) -> str:
    """Return a sentence about the sizes of the classes in training.

    Args:
        counts: training images of each class, if they are known.
        names: of the classes.
    """
    if counts is None or len(counts) != len(names):
        return "How many training images each class has is not recorded."
    low, high = min(counts), max(counts)
    if low == high:
        return f"Each class has {low:,} images in the training part."
    fewest, most = names[list(counts).index(low)], names[list(counts).index(high)]
    ratio = f", {high / low:.1f} times as many" if low else ""
    return (
        f"The smallest class of the training part, {fewest}, has {low:,} images; the largest, {most}, {high:,}{ratio}."
    )


def count_training_images(record: RunRecord, names: Sequence[str], kept: Sequence[int] | None) -> list[int] | None:
    """Return the training images of each class: those that the checkpoint keeps, else those of the manifest."""
    if kept is not None:
        return [int(count) for count in kept]
    classes = ((record.manifest.get("data") or {}).get("classes") or {}).get("train") or {}
    return [int(classes.get(name, 0)) for name in names] if set(names) & classes.keys() else None


def describe_net(record: RunRecord) -> str:
    """Return the net's class, with timm's name of it."""
    name = str((record.manifest.get("net") or {}).get("class", "a net"))
    timm = record.config.get("model.net.name")
    return f"{name} ({timm})" if isinstance(timm, str) else name
