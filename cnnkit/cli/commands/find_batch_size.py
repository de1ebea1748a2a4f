"""``find-batch-size``: how fast batches of each size train, and which is the largest."""

import argparse
import json
import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cnnkit.cli.parsing.options import Options, add_config, add_json, configuration_words, positive, share
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import print_rows, print_table

if TYPE_CHECKING:
    from cnnkit.cli.trial import Trial

_DESCRIPTION = """\
Trains a few steps with batches of --min images, of twice as many, and so on, and prints the images per second of each
size; the suggestion is the smallest within 5 % of the fastest. On a GPU the search ends when memory runs out. On a CPU
nothing refuses a batch that is too large: the system would end the program. So there the largest size is the one whose
layers need, by the estimate of `cnnkit summary`, at most --memory_share of the memory that is free now.

No run folder is made. Times are of one trial on this machine as busy as it is. Another batch size wants another
learning rate (find-lr), and a larger one gives fewer steps an epoch."""
_STEPS = 4  # of each size; the first warms up
_SHARE = 0.5  # of the free memory
_CLOSE = 0.95  # of the highest speed


def arguments() -> Options:
    """The words of the command."""
    options = Options("find-batch-size", _DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("--min", type=positive, default=16, metavar="N", help="first size (default: 16)")
    options.add_argument("--max", type=positive, default=2048, metavar="N", help="last size (default: 2048)")
    options.add_argument("--memory_share", type=share, metavar="S", help=f"of a CPU's free memory (default: {_SHARE})")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Search, and print speeds and sizes."""
    if args.min > args.max:
        raise UserError(f"--min is {args.min} and --max {args.max}: give a smaller and a larger size")
    from cnnkit.cli.trial import open_trial

    with open_trial(configuration_words(args), _STEPS) as trial:
        bound, reason = _find_bound(trial, args)
        speeds = _search(trial, args.min, bound)
        images = len(trial.data.train_indices) if hasattr(trial.data, "train_indices") else 0
    largest = max(speeds)
    if largest * 2 <= bound and largest < images:
        reason = f"memory ran out at {largest * 2}"
    best = min(size for size, speed in speeds.items() if speed >= _CLOSE * max(speeds.values()))
    if args.json:
        found = {"speeds": speeds, "largest": largest, "ended_by": reason, "suggestion": best}
        print(json.dumps({**found, "use": f"--data.batch_size {best}"}, indent=2))
        return 0
    steps = [f"{images // size:,}" if images else "" for size in speeds]
    rows = [[f"{n:,}", f"{speed:,.0f}", step] for (n, speed), step in zip(speeds.items(), steps, strict=True)]
    print_table(["batch size", "images per second", "steps an epoch"], rows)
    print_rows({"largest": f"{largest}: {reason}", "suggestion": str(best), "use it": f"--data.batch_size {best}"})
    return 0


def _find_bound(trial: "Trial", args: argparse.Namespace) -> tuple[int, str]:
    """The largest size to try, and why no larger one.

    Raises:
        UserError: the data have no batch size, the task trains on no images, the smallest is too large, or a share of
            memory is given on another device than a CPU.
    """
    from cnnkit.data.image_files import measure_free_memory
    from cnnkit.inspection.complexity import MEGABYTE, complexity
    from cnnkit.layers.probing import image_shape

    data = trial.data
    net: Any = trial.task.net
    if not isinstance(getattr(data, "batch_size", None), int):
        raise UserError(f"{type(data).__name__} has no batch_size that is a number: there is nothing to search")
    if getattr(trial.task, "mode", "") == "embeddings":
        raise UserError("model.mode is embeddings, which trains a small head on stored features: any batch size fits")
    data.prepare_data()
    data.setup("fit")
    bounds = {args.max: "--max"}
    if (images := getattr(data, "train_indices", None)) is not None:
        bounds[len(images)] = "all training images"
    if trial.trainer.strategy.root_device.type == "cpu":
        shape = getattr(data, "shape", {})
        cost = complexity(net, image_shape(net, shape.get("image_size"), shape.get("in_channels")))
        each = (cost.forward_backward_megabytes + cost.input_megabytes) * MEGABYTE
        part = _SHARE if args.memory_share is None else args.memory_share
        fits = int(part * measure_free_memory() / each)
        bounds[fits] = f"an estimate of {each / MEGABYTE:.2g} MB an image, {part:.0%} of the free memory"
    elif args.memory_share is not None:
        device = trial.trainer.strategy.root_device.type
        raise UserError(f"--memory_share bounds the memory of a CPU, and this search runs on {device}: leave it out")
    bound = min(bounds)
    if bound < args.min:
        raise UserError(f"--min is {args.min}, more than {bound} ({bounds[bound]}): give a smaller one")
    return bound, bounds[bound]


def _search(trial: "Trial", first: int, bound: int) -> dict[int, float]:
    """Images per second by batch size, of the sizes that trained all their steps."""
    import torch
    from lightning.pytorch.tuner.tuning import Tuner

    starts: dict[int, list[float]] = defaultdict(list)

    def note_start(batch: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        starts[len(batch[0])].append(time.perf_counter())

    trial.watch_steps(before=note_start)
    trials = int(math.log2(bound / first)) + 1
    trial.data.batch_size = first  # type: ignore[attr-defined]
    tuner = Tuner(trial.trainer)
    tuner.scale_batch_size(
        trial.task,
        datamodule=trial.data,
        steps_per_trial=_STEPS,
        init_val=first,
        max_trials=trials,
        max_val=bound + 1,
    )
    whole = {size: times for size, times in starts.items() if len(times) >= _STEPS and size <= bound}
    if not whole:
        raise UserError(f"not even {first} images a batch trained {_STEPS} steps: give a smaller --min")
    return {size: (_STEPS - 2) * size / (times[_STEPS - 1] - times[1]) for size, times in sorted(whole.items())}
