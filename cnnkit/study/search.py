"""A search in place of a grid: Optuna chooses among the levels of the factors and within ranges.

Akiba et al. 2019, arXiv 1907.10902. The trials stand in a database, so that several processes, or machines that share
it, work on one search. It uses validation scores alone; test its result with an ordinary study afterwards.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.errors import UserError
from cnnkit.files import replacing
from cnnkit.metric_names import is_lower_better
from cnnkit.study.engine import INTERRUPTED, CommandResult, Interrupted
from cnnkit.study.plan import Plan, Variant
from cnnkit.suggest import suggest

if TYPE_CHECKING:
    import optuna

KEYS = ("trials", "metric", "ranges", "pruner", "storage")
PRUNERS = ("median", "hyperband", "none")
# Fits with these words; after every validation the function (epoch, score) says whether to stop the run.
Fit = Callable[[list[str], str, Callable[[int, float], bool]], tuple[CommandResult, float | None]]


def search(plan: Plan, root: Path, fit: Fit, *, trials: int | None = None) -> int:
    """Run the remaining trials, print the best one, and write ``search.csv``.

    Args:
        plan: with its ``search`` settings.
        root: folder of the run folders and of the database.
        fit: trains one configuration.
        trials: how many now at most.

    Returns:
        The exit code.

    Raises:
        UserError: if Optuna is missing or the search is not well described.
        Interrupted: if a signal stopped it; trials that ended are kept.
    """
    settings = check_search(plan)
    try:
        import optuna
    except ImportError:
        raise UserError("search needs Optuna; pip install 'cnnkit[search]' brings it") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    root.mkdir(parents=True, exist_ok=True)
    metric = settings.get("metric", "val/acc")
    study = optuna.create_study(
        storage=settings.get("storage", f"sqlite:///{(root / 'search.db').resolve()}"),
        study_name=plan.name,
        load_if_exists=True,
        direction="minimize" if is_lower_better(metric) else "maximize",
        pruner=_pruner(settings.get("pruner", "median")),
    )
    # A resumed search, or a second machine, must not repeat the same trials.
    study.sampler = optuna.samplers.TPESampler(seed=plan.seeds[0] + len(study.trials))
    left = settings["trials"] - len(_list_ended(study.trials))
    left = left if trials is None else min(left, trials)
    print(f"{plan.question}\n{settings['trials']} trials, {max(0, left)} of them to do")
    for _ in range(left):
        _run_trial(study, plan, root, settings, metric, fit)
    write_trials(study, root / "search.csv", metric)
    _print_best(study, plan, metric)
    return 0 if _list_complete(study) else 1


def check_search(plan: Plan) -> dict[str, Any]:
    """Check the ``search`` settings of a plan and return them.

    Raises:
        UserError: for an unknown key, a range that is none, or a score of the test set.
    """
    settings, file = plan.search, plan.folder / "study.yaml"
    for key in settings:
        if key not in KEYS:
            raise UserError(f"{file}: unknown key search.{key}{suggest(str(key), KEYS)}")
    if type(settings.get("trials")) is not int or settings["trials"] < 1:
        raise UserError(f"{file}: search.trials is {settings.get('trials')}; give their number, such as 20")
    if str(settings.get("metric", "val/acc")).startswith("test/"):
        raise UserError(
            f"{file}: search.metric is {settings['metric']}; a choice by the test set is not honest: val/acc"
        )
    if settings.get("pruner", "median") not in PRUNERS:
        raise UserError(f"{file}: search.pruner is {settings['pruner']!r}; there are {', '.join(PRUNERS)}")
    for key, limits in (settings.get("ranges") or {}).items():
        numbers: list[Any] = [limits.get("low"), limits.get("high")] if isinstance(limits, dict) else []
        whole = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
        if not numbers or not whole or not numbers[0] < numbers[1]:
            raise UserError(f"{file}: search.ranges.{key} is {limits}; give {{low: NUMBER, high: NUMBER, log: true}}")
    return settings


def _pruner(name: str) -> Any:
    import optuna

    kinds: dict[str, Any] = {
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "none": optuna.pruners.NopPruner,
    }
    return kinds[name]()


def _run_trial(study: "optuna.Study", plan: Plan, root: Path, settings: dict[str, Any], metric: str, fit: Fit) -> None:
    import optuna

    trial = study.ask()
    words = _words(trial, plan, root, settings)

    pruned = False

    def prune(epoch: int, score: float) -> bool:
        nonlocal pruned
        trial.report(score, epoch)
        pruned = bool(trial.should_prune())
        return pruned

    try:
        result, best = fit(words, metric, prune)
    except BaseException:  # a stopped trial is no result
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
    if result.code in INTERRUPTED:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise Interrupted(result.code)
    if result.code or best is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        outcome = "failed: " + (result.text.strip().splitlines() or ["?"])[-1]
    elif pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        outcome = f"given up at {best:.4g}"
    else:
        study.tell(trial, best)
        outcome = f"{metric} {best:.4g}"
    print(f"[{trial.number + 1}/{settings['trials']}] {_format(trial.params)}: {outcome}", flush=True)


def _words(trial: "optuna.Trial", plan: Plan, root: Path, settings: dict[str, Any]) -> list[str]:
    variant = plan.variants[0]
    if len(plan.variants) > 1:
        variant = _find_variant(plan, trial.suggest_categorical("variant", [v.name for v in plan.variants]))
    words = list(variant.words)
    for key, limits in (settings.get("ranges") or {}).items():
        low, high, log = limits["low"], limits["high"], bool(limits.get("log"))
        whole = isinstance(low, int) and isinstance(high, int)
        suggest: Any = trial.suggest_int if whole else trial.suggest_float
        words.append(f"--{key}={json.dumps(suggest(key, low, high, log=log))}")
    place = ["--name", f"trial-{trial.number}", "--trainer.default_root_dir", str(root)]
    return [*words, "--seed_everything", str(plan.seeds[0]), *place, "--trainer.enable_progress_bar=false"]


def _find_variant(plan: Plan, name: str) -> Variant:
    return next(variant for variant in plan.variants if variant.name == name)


def _list_ended(trials: list[Any]) -> list[Any]:
    return [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _list_complete(study: "optuna.Study") -> list[Any]:
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _format(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in parameters.items())


def write_trials(study: "optuna.Study", file: Path, metric: str) -> None:
    """Write a CSV file with a row a trial."""
    names = sorted({name for trial in study.trials for name in trial.params})
    with replacing(file) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["trial", "state", metric, *names, "epochs"])
        for trial in study.trials:
            value = "" if trial.value is None else f"{trial.value:.6g}"
            cells = [trial.params.get(name, "") for name in names]
            writer.writerow([trial.number, trial.state.name.lower(), value, *cells, len(trial.intermediate_values)])


def _print_best(study: "optuna.Study", plan: Plan, metric: str) -> None:
    if not _list_complete(study):
        print("no trial came to its end")
        return
    best = study.best_trial
    print(f"best: trial {best.number}, {metric} {best.value:.4g}: {_format(best.params)}")
    print("It was chosen by the validation images; test it with seeds of its own, as a study without `search`.")
