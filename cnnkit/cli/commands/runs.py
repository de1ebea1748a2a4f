"""``runs``: a table of runs, one in detail, two compared."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnkit import runs
from cnnkit.cli.parsing.options import Options, add_json, positive
from cnnkit.errors import UserError
from cnnkit.metric_names import is_percentage
from cnnkit.reporting.tables import percent
from cnnkit.reporting.terminal import print_rows, print_table
from cnnkit.runs.queries import check_keys, read_condition, sort_records
from cnnkit.runs.records import (
    RunRecord,
    config_differences,
    differences,
    flatten,
    read_record,
    read_records,
    score_columns,
)

DESCRIPTION = """\
  runs [DIR]       a table of the runs below a folder (runs/ if none is given), the newest first
  runs show RUN    one run in detail: what was run on what, its scores, its configuration
  runs diff A B    the scores of two runs side by side, and the keys in which they differ

RUN, A and B are run folders, or folders above: the newest run counts. (A folder that is called show is ./show.)

A key of --sort, --where and --columns is a fact (run, name, when, status, net, parameters, data, seed, epochs,
seconds, minutes, monitor, reason), a score (val/acc, test/acc), or any entry of a run's manifest or configuration
(machine.cpu, test_looks, model.net.dropout, model.optimizer.lr). The validation scores are those of the best epoch."""
COLUMNS = ("run", "status", "net", "parameters", "epochs", "minutes")  # and the scores, see `score_columns`


def arguments() -> Options:
    """The words of the command."""
    options = Options("runs", DESCRIPTION)
    options.add_argument("what", nargs="*", metavar="DIR | show RUN | diff A B", help="see above")
    options.add_argument("--sort", metavar="KEY", help="the best first: highest number, lowest loss, text from A to Z")
    options.add_argument("--reverse", action="store_true", help="the other way round")
    condition = "such as 'net=CNN' or 'val/acc>0.9'; all must hold"
    options.add_argument("--where", action="append", default=[], metavar="CONDITION", help=condition)
    options.add_argument("--limit", type=positive, metavar="N", help="the first N only")
    options.add_argument("--columns", metavar="KEY,...", help=f"instead of {','.join(COLUMNS)} and the scores")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print the table, one run, or the differences of two."""
    words = args.what
    if words[:1] in (["show"], ["diff"]):
        _check_words(args, *words)
        (_show if words[0] == "show" else _diff)(words[1:], args.json)
    elif len(words) > 1:
        raise UserError(f"{words[1]}: give one folder; `runs show RUN` and `runs diff A B` look closer")
    else:
        _list(Path(words[0] if words else runs.ROOT), args)
    return 0


def _check_words(args: argparse.Namespace, what: str, *named: str) -> None:
    wanted, example = (
        (1, "one run, as in `runs show RUN`") if what == "show" else (2, "two runs, as in `runs diff A B`")
    )
    if len(named) != wanted:
        raise UserError(f"runs {what}: it takes {example}")
    for flag in ("sort", "reverse", "where", "limit", "columns"):
        if getattr(args, flag):
            raise UserError(f"--{flag}: is for the table of runs; leave it out with {what}")


# ---- the table -------------------------------------------------------------------------------------------------------


def _list(folder: Path, args: argparse.Namespace) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that your runs are in")
    records = read_records(folder)
    conditions = [read_condition(text) for text in args.where]
    columns = [key.strip() for key in args.columns.split(",") if key.strip()] if args.columns else []
    check_keys(records, [*(c.key for c in conditions), *([args.sort] if args.sort else []), *columns])
    chosen = [record for record in records if all(condition.holds(record) for condition in conditions)]
    if args.sort:
        chosen = sort_records(chosen, args.sort, args.reverse)
    elif args.reverse:
        chosen.reverse()
    shown = chosen[: args.limit]
    if args.json:
        print(json.dumps([_as_json(record, columns) for record in shown], indent=2))
        return
    reasons = ["reason"] if not columns and any(record.facts["reason"] for record in shown) else []
    keys = [*(columns or (*COLUMNS, *score_columns(shown))), *reasons]
    if shown:
        print_table(keys, [[_cell(key, record.get(key)) for key in keys] for record in shown])
    _tell(folder, len(records), len(chosen), len(shown))


def _tell(folder: Path, there: int, chosen: int, shown: int) -> None:
    if not there:
        text = f"no runs below {folder}; `cnnkit fit --config FILE` makes one"
    elif not chosen:
        text = f"none of the {there:,} runs below {folder} is like that"
    else:
        text = f"{shown:,} of {there:,} runs" if shown < there else ""
    if text:
        print(text, file=sys.stderr)


def _cell(key: str, value: Any) -> str:
    """A value as text for a table."""
    if value is None:
        return ""
    if key == "when":
        return str(value)[:16].replace("T", " ")
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    if is_percentage(key):
        return percent(value)
    if isinstance(value, int):
        return f"{value:,}" if key.endswith("parameters") else str(value)
    return f"{value:.1f}" if key in ("seconds", "minutes") else f"{value:.4g}"


def _as_json(record: RunRecord, columns: Sequence[str]) -> dict[str, Any]:
    return _plain({key: record.get(key) for key in columns} if columns else {**record.facts, **record.scores})


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


# ---- one run, two runs -----------------------------------------------------------------------------------------------


def _show(words: Sequence[str], as_json: bool) -> None:
    record = read_record(runs.find(words[0]).path)
    manifest = flatten(record.manifest)
    if as_json:
        print(json.dumps({**_plain(record.facts), "manifest": record.manifest, "config": record.config}, indent=2))
        return
    scores = {key for key in manifest if "/" in key}
    facts = {**record.facts, **{key: value for key, value in manifest.items() if key not in scores | {"started"}}}
    parts = {
        "": {key: value for key, value in facts.items() if key == "run" or not isinstance(value, dict)},
        "scores": {key: manifest[key] for key in manifest if key in scores},
        "configuration": record.config,
        "files": _files(record.path),
    }
    for title, values in parts.items():
        rows = {key: text for key, value in values.items() if (text := _cell(key, value))}
        if rows and title:
            print(f"\n{title}")
        if rows:
            print_rows(rows)


def _files(path: Path) -> dict[str, str]:
    run = runs.RunFolder(path)
    files = (run.config, run.metrics, run.predictions, run.checkpoints / "best.ckpt", run.last)
    return {str(file.relative_to(path)): f"{file.stat().st_size:,} bytes" for file in files if file.exists()}


def _diff(words: Sequence[str], as_json: bool) -> None:
    a, b = (read_record(runs.find(word).path) for word in words)
    keys = ("status", "reason", "epochs", "seconds", "images_per_second", "parameters", "test_looks")
    results = {key: (a.get(key), b.get(key)) for key in (*keys, *sorted({*a.scores, *b.scores}))}
    results = {key: values for key, values in results.items() if values != (None, None)}
    config = config_differences(a, b)
    circumstances = differences(
        *({k: v for k, v in flatten(r.manifest).items() if _is_circumstance(k)} for r in (a, b))
    )
    if as_json:
        paths = {"a": str(a.path), "b": str(b.path)}
        parts = {"results": results, "configuration": config, "circumstances": circumstances}
        print(json.dumps({**paths, **{name: _pairs(part) for name, part in parts.items()}}, indent=2))
        return
    head = ["", str(a.path), str(b.path)]
    print_table(head, _side_by_side(results))
    for title, part in (("configuration", config), ("circumstances", circumstances)):
        print(f"\n{title}: " + ("these keys differ" if part else "no difference"))
        if part:
            print_table(head, _side_by_side(part))


def _is_circumstance(key: str) -> bool:
    """What a run's numbers depend on, besides its configuration."""
    own = key.split(".")[0] in ("code", "versions", "machine", "device", "precision", "data")
    return own and key not in ("data.augment", "data.seed")  # these follow from the configuration


def _side_by_side(values: dict[str, tuple[Any, Any]]) -> list[list[str]]:
    return [[key, *("none" if value is None else _cell(key, value) for value in pair)] for key, pair in values.items()]


def _pairs(values: dict[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    return {key: _plain(dict(zip("ab", pair, strict=True))) for key, pair in values.items()}
