"""``study``: configurations x overrides x seeds to one honest table."""

import argparse
import contextlib
import gc
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

from cnnkit.allocator import import_quickly
from cnnkit.cli.commands.study.processes import Processes
from cnnkit.cli.parsing.options import Options, positive
from cnnkit.errors import UserError
from cnnkit.metric_names import format_metric
from cnnkit.runs import ROOT
from cnnkit.shell import quote_command
from cnnkit.study.engine import CommandResult, Execute, Interrupted, Outcome, lock_study, run_all
from cnnkit.study.plan import Plan, Planned, read_plan
from cnnkit.threads import count_usable_cores


def arguments() -> Options:
    """The words after ``study``."""
    options = Options(
        "study",
        "Runs every variant of FOLDER/study.yaml with every seed (fit, then test), goes on where it was stopped, and\n"
        "writes results.csv, table.md and plot.png there, and the table into its README.md. What was done before is\n"
        "found by configuration, code and data, and is not repeated. A part of a study is written to its runs alone.",
    )
    options.add_argument(
        "folder", metavar="FOLDER", help="such as experiments/mlp_vs_cnn; docs/experiments.md says more"
    )
    options.add_argument("--dry_run", action="store_true", help="list the runs and what is left of them, and stop")
    options.add_argument("--jobs", type=positive, metavar="N", help="runs at a time, each a process (1)")
    options.add_argument("--limit", type=positive, metavar="N", help="the first N runs that are not done")
    options.add_argument("--seeds", metavar="LIST", help="these seeds, such as 0,1, instead of the study's")
    options.add_argument(
        "--only", metavar="LEVEL", action="append", default=[], help="variants with this level; repeat"
    )
    options.add_argument("--root", default=ROOT, metavar="DIR", help=f"where run folders are made ({ROOT}/<study>)")
    return options


def run(args: argparse.Namespace) -> int:
    """Carry a study out; 0 done, 1 some runs failed, 128 + n stopped by signal n."""
    with import_quickly():
        from cnnkit.cli.commands.study.variants import make_engine
        from cnnkit.study.results import build_rows, is_whole, print_results, write_results

    plan = read_plan(args.folder)
    root = Path(args.root) / plan.name
    planned = _chosen(plan, args)
    if plan.search:
        return _search(plan, root, args)
    processes = Processes()
    with lock_study(root):
        execute, jobs = _executor(plan, args.jobs, processes)
        engine = make_engine(plan, planned, root, execute)
        before = {each: engine.find(each) for each in planned}
        left = [p for p, found in before.items() if found is None or found.state != "done"][: args.limit]
        if args.dry_run:
            _list({p: found for p, found in before.items() if p in left or (found and found.state == "done")})
            return 0
        print(f"{plan.question}\n{len(planned)} runs, {len(left)} of them to do; {plan.budget or 'no budget named'}")
        progress = Progress(left, plan.metric)
        code = 0
        failed: dict[Planned, Outcome] = {}
        try:
            forwards = jobs > 1 and plan.engine != "ray"
            with processes.forwarding_signals() if forwards else contextlib.nullcontext():
                outcomes = run_all(engine, left, jobs, progress)
            failed = {outcome.planned: outcome for outcome in outcomes if not outcome.done}
        except (Interrupted, KeyboardInterrupt) as stop:
            code = stop.code if isinstance(stop, Interrupted) else 130
            print(f"stopped; go on with: {_again(args)}", file=sys.stderr)
        everything = [failed.get(p) or Outcome(p, engine.find(p)) for p in planned]
        rows = build_rows(plan, everything, engine.resolved)
        place = write_results(plan, rows, plan.folder if is_whole(plan, rows) else root)
        print_results(plan, rows)
        print(f"written to {place}/: results.csv, table.md, plot.png")
    for outcome in failed.values():
        print(f"failed: {outcome.planned.title}: {outcome.reason}", file=sys.stderr)
    return code or int(bool(failed))


def _again(args: argparse.Namespace) -> str:
    """The command that goes on with a stopped one."""
    words = [word for level in args.only for word in ("--only", level)]
    for name, default in (("jobs", None), ("limit", None), ("seeds", None), ("root", ROOT)):
        value = getattr(args, name)
        words += [] if value == default else [f"--{name}", str(value)]
    return quote_command("study", args.folder, *words)


def _search(plan: Plan, root: Path, args: argparse.Namespace) -> int:
    from cnnkit.cli.commands.study.variants import settle_search
    from cnnkit.study.search import search

    if args.only or args.dry_run:
        raise UserError("--only and --dry_run are for a study without search; --limit N is the number of trials now")
    try:
        settle_search(plan, root)
        return search(plan, root, _fit_watched, trials=args.limit)
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped; go on with: {_again(args)}", file=sys.stderr)
        return stop.code if isinstance(stop, Interrupted) else 130


def _chosen(plan: Plan, args: argparse.Namespace) -> list[Planned]:
    if args.seeds is not None:
        parts = args.seeds.replace(",", " ").split()
        if not parts or not all(part.isdecimal() for part in parts):
            raise UserError(f"--seeds: expected whole numbers such as 0,1, got {args.seeds!r}")
        plan.seeds = [int(part) for part in dict.fromkeys(parts)]
    names = {level for variant in plan.variants for level in variant.levels.values()}
    for level in args.only:
        if level not in names:
            raise UserError(f"--only: there is no level {level!r}; there are {', '.join(sorted(names))}")
    return [p for p in plan.runs if set(args.only) <= set(p.variant.levels.values())]


def _executor(plan: Plan, jobs: int | None, processes: Processes) -> tuple[Execute, int]:
    """What runs a command, and how many at a time."""
    if plan.engine == "ray":
        from cnnkit.study.ray_cluster import connect_ray

        execute, room = connect_ray()
        return execute, jobs or room
    if jobs is None or jobs == 1:
        return _in_process, 1
    threads = max(1, count_usable_cores() // jobs)
    return (lambda words: processes.run(words, threads)), jobs


def _in_process(words: list[str]) -> CommandResult:
    """Imports are shared; what a command says is kept for the reason of a failure."""
    return _run_here(words, ())


def _run_here(words: list[str], watching: Any) -> CommandResult:
    from cnnkit.cli.fit.command import run_command

    before, said = dict(os.environ), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run_command(words[0], words[1:], began=time.perf_counter(), watching=watching)
            return CommandResult(code, said.getvalue())
    finally:  # Lightning's seed and our run folder travel in environment variables
        os.environ.clear()
        os.environ.update(before)
        gc.collect()  # a trainer is in a cycle of references, and with it are the net, its optimizer and its data


def _fit_watched(words: list[str], metric: str, says: Any) -> tuple[CommandResult, float | None]:
    from cnnkit.callbacks import StopWhen

    watch = StopWhen(metric, says)
    ended = _run_here(["fit", *words], [watch])
    return ended, watch.best


class Progress:
    """A line for every run that has ended, with the time that is left."""

    def __init__(self, left: list[Planned], metric: str) -> None:
        self.metric = metric
        self.total, self.ended, self.began = len(left), 0, time.perf_counter()

    def __call__(self, outcome: Outcome, seconds: float) -> None:
        """Print it."""
        self.ended += 1
        spent = time.perf_counter() - self.began
        remaining = spent / self.ended * (self.total - self.ended)
        score = outcome.scores.get(self.metric) if outcome.done else None
        what = format_metric(self.metric, score) if score is not None else "failed" if not outcome.done else "done"
        left = f", about {_minutes(remaining)} left" if self.ended < self.total else ""
        line = f"[{self.ended}/{self.total}] {outcome.planned.title}: {what} in {_minutes(seconds)}{left}"
        print(line, flush=True)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _list(before: dict[Planned, Any]) -> None:
    for planned, found in before.items():
        state = found.state if found is not None else "to do"
        print(f"{state:10}{planned.title:40}{'' if found is None else found.run}")
    for variant in {planned.variant.name: planned.variant for planned in before}.values():
        print(f"\n{variant.name}:\n  {quote_command('fit', *variant.words)}")
