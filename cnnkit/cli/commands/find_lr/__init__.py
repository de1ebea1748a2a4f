"""``find-lr``: a learning-rate range test, before a run."""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cnnkit.cli.outputs import check_png
from cnnkit.cli.parsing.options import (
    Options,
    add_config,
    add_json,
    configuration_words,
    positive,
    positive_number,
)
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.reporting.terminal import print_rows

if TYPE_CHECKING:
    from cnnkit.cli.commands.find_lr.curve import RangeTest
    from cnnkit.cli.trial import Trial

_DESCRIPTION = """\
Trains some steps of a configuration, without its schedule, while the learning rate rises from --min_lr to --max_lr, and
suggests the rate at which the loss was lowest (a range test: Smith 2015, arXiv 1506.01186). What is varied is
model.optimizer.lr, and with it, in their ratios, the rates of all groups: a backbone's, and MuonSGD's matrix_lr and
vector_lr. No run folder is made, and the weights are thrown away.

It is one test of one seed: take the suggestion for the right power of ten, as the highest rate of a schedule, and
compare runs for more."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("find-lr", _DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("--steps", type=positive, default=200, metavar="N", help="optimizer steps (default: 200)")
    options.add_argument("--min_lr", type=positive_number, default=1e-6, metavar="LR", help="first rate (1e-6)")
    options.add_argument("--max_lr", type=positive_number, default=10.0, metavar="LR", help="last rate (10)")
    options.add_argument("-o", "--output", default="lr.png", metavar="FILE", help="the picture (default: lr.png)")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Run the test, draw the curve, and print the rate and how to use it."""
    output = check_png(args.output)
    if args.min_lr >= args.max_lr:
        raise UserError(f"--min_lr is {args.min_lr:g} and --max_lr {args.max_lr:g}: give a smaller and a larger rate")
    from cnnkit.cli.commands.find_lr.curve import draw_curve
    from cnnkit.cli.trial import open_trial
    from cnnkit.reporting.figures import png_bytes

    with open_trial(configuration_words(args), args.steps) as trial:
        rates = _find_rates(trial)
        test = _search(trial, args)
    (key, base), *_ = rates.items()
    use = [f"--{name} {rate * test.suggested / base:.2g}" for name, rate in rates.items()]
    with writing_output(output) as file:
        file.write(png_bytes(draw_curve(test, key)))
    if args.json:
        print(json.dumps(_as_json(test, use, output), indent=2))
    else:
        _print(test, key, use, output)
    return 0


def _find_rates(trial: "Trial") -> dict[str, float]:
    """The keys of the rates that are varied, with their values; that of the suggestion first.

    Raises:
        UserError: the optimizer has no rate to vary.
    """
    from cnnkit.optim.factories import list_other_rates, read_argument, read_name, split_factory

    optimizer = trial.task.optimizer
    rate = read_argument(optimizer, "lr")
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate:
        raise UserError(f"model.optimizer: {read_name(optimizer)} has no lr above 0, so there is nothing to search")
    replaced = trial.schedule is not None and "max_lr" in split_factory(trial.schedule)[1]
    others = {f"model.optimizer.{name}": read_argument(optimizer, name) for name in list_other_rates(optimizer)}
    return {"model.scheduler.max_lr" if replaced else "model.optimizer.lr": rate, **others}


def _search(trial: "Trial", args: argparse.Namespace) -> "RangeTest":
    from lightning.pytorch.tuner.tuning import Tuner

    from cnnkit.cli.commands.find_lr.curve import read_curve

    # Lightning's own curve lags behind by a running mean over 50 steps.
    kept, each = defaultdict[int, list[float]](list), trial.trainer.accumulate_grad_batches
    trial.watch_steps(after=lambda loss: kept[trial.trainer.global_step].append(float(loss)))
    found = Tuner(trial.trainer).lr_find(
        trial.task,
        datamodule=trial.data,
        min_lr=args.min_lr,
        max_lr=args.max_lr,
        num_training=args.steps,
        update_attr=False,
    )
    assert found is not None
    rates = found.results["lr"]
    # Of a step, the first losses count: LBFGS computes more.
    losses = [fmean(kept[step][:each]) for step in sorted(kept)]
    return read_curve(rates, losses, len(rates) < args.steps)


def _print(test: "RangeTest", key: str, use: list[str], output: Path) -> None:
    end = f"the loss diverged at {test.rates[-1]:.2g}" if test.diverged else "the loss did not diverge"
    rows = {
        "varied": f"{key} from {test.rates[0]:.2g} to {test.rates[-1]:.2g}, {len(test.rates)} steps; {end}",
        "steepest": f"{test.steepest:.2g}, a cautious rate: the loss falls fastest there",
        "suggestion": f"{test.suggested:.2g}, where the loss is lowest ({test.losses.min():.4g})",
        "use it": " ".join(use),
        "picture": str(output),
    }
    if test.suggested == test.rates[-1]:
        rows["attention"] = "the loss still falls at the last rate: raise --max_lr"
    print_rows(rows)


def _as_json(test: "RangeTest", use: list[str], output: Path) -> dict[str, Any]:
    return {
        "suggestion": test.suggested,
        "steepest": test.steepest,
        "diverged": test.diverged,
        "use": use,
        "rates": test.rates.tolist(),
        "losses": test.losses.tolist(),
        "picture": str(output),
    }
