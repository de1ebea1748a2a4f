"""The results of a study: a row a run, a row a variant with its interval, a plot, and the table in the README."""

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from cnnkit.files import replacing, write_atomically
from cnnkit.metric_names import is_lower_better, is_percentage
from cnnkit.notices import printable
from cnnkit.reporting.tables import count, markdown_table, replace_between_markers
from cnnkit.reporting.terminal import print_table
from cnnkit.stats.intervals import Summary, summarize, summarize_shares
from cnnkit.stats.significance import compare_with_best
from cnnkit.study.engine import Outcome, ResolvedVariant
from cnnkit.study.plan import Plan

RESULTS, TABLE, PLOT, MARKER = "results.csv", "table.md", "plot.png", "results"
RunRow = dict[str, str]


def build_rows(plan: Plan, outcomes: Sequence[Outcome], resolved: dict[str, ResolvedVariant]) -> list[RunRow]:
    """Build one row for every planned run, done or not, as text for the CSV."""
    return [_row(plan, outcome, resolved[outcome.planned.variant.name]) for outcome in outcomes]


def _row(plan: Plan, outcome: Outcome, what: ResolvedVariant) -> RunRow:
    manifest: dict[str, Any] = outcome.found.manifest if outcome.found is not None else {}
    scores = outcome.scores
    state = "done" if outcome.done else "failed" if outcome.reason or manifest.get("status") == "failed" else "to do"
    cells: dict[str, Any] = {
        **outcome.planned.variant.levels,
        "seed": outcome.planned.seed,
        **({} if outcome.planned.variant.fold is None else {"fold": outcome.planned.variant.fold}),
        "status": state,
        plan.metric: scores.get(plan.metric) if outcome.done else None,
        **{key: scores.get(key) for key in _other_scores(plan.metric)},
        "parameters": what.parameters,
        "macs": what.macs,
        "epochs": manifest.get("epochs"),
        "train_seconds": manifest.get("times", {}).get("train_seconds"),
        "images_per_second": manifest.get("images_per_second"),
        "precision": manifest.get("precision", {}).get("value"),
        "threads": manifest.get("machine", {}).get("threads"),
        "cpu": manifest.get("machine", {}).get("cpu"),
        **{name: manifest.get("versions", {}).get(name) for name in ("cnnkit", "torch")},
        "code": what.code,
        "data": what.data.get("fingerprint"),
        "split": what.data.get("split"),
        "test_looks": manifest.get("test_looks"),
        "reason": "" if outcome.done else outcome.reason or manifest.get("reason") or "",
    }
    return {key: _text(value) for key, value in cells.items()}


def _other_scores(metric: str) -> list[str]:
    """Name the scores beside the metric: the same score of one view if that averages over views, and accuracies."""
    tested = ("test/acc",) if metric.startswith("test/") else ()
    names = dict.fromkeys((metric.removesuffix("_tta"), *tested, "val/acc", "train/acc"))
    return [key for key in names if key != metric]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def is_whole(plan: Plan, rows: Sequence[RunRow]) -> bool:
    """Whether the rows cover the whole study of study.yaml, each run done or failed."""
    from cnnkit.study.plan import read_plan

    written = read_plan(plan.folder)
    planned = {(*run.variant.levels.values(), str(run.seed), _text(run.variant.fold)) for run in written.runs}
    factors = list(written.variants[0].levels)
    done = [row for row in rows if row["status"] != "to do"]
    there = {(*(row[f] for f in factors), row["seed"], row.get("fold", "")) for row in done}
    return planned <= there


def group_by_variant(rows: Sequence[RunRow]) -> dict[tuple[str, ...], list[RunRow]]:
    """Group the rows by the levels of their variants."""
    found: dict[tuple[str, ...], list[RunRow]] = {}
    for row in rows:
        found.setdefault(tuple(row[factor] for factor in factor_names(row)), []).append(row)
    return found


def factor_names(row: RunRow) -> list[str]:
    """The names of the factors: the columns before ``seed``."""
    return list(row)[: list(row).index("seed")]


def metric_name(row: RunRow) -> str:
    """The study's metric: the column after ``status``."""
    return list(row)[list(row).index("status") + 1]


def collect_scores(rows: Sequence[RunRow]) -> list[float]:
    """Collect the metric of the finished runs."""
    return [float(row[metric_name(row)]) for row in rows if row["status"] == "done" and row[metric_name(row)]]


def build_table(rows: Sequence[RunRow]) -> tuple[list[str], list[list[str]]]:
    """Build the head and the lines of the table: a line a variant, the best one bold.

    A variant is marked as like the best if Welch's t test with Holm's correction finds no significant difference (5 %).
    """
    variants, metric = group_by_variant(rows), metric_name(rows[0])
    scores = {levels: collect_scores(of) for levels, of in variants.items()}
    highest = not is_lower_better(metric)
    best, alike = compare_with_best(scores, highest=highest)
    as_percent = is_percentage(metric)
    lines = []
    for levels, of in variants.items():
        summary = (summarize_shares if as_percent else summarize)(scores[levels])
        mark = "best" if levels == best else "like the best" if levels in alike else ""
        lines.append(
            [
                *(f"**{level}**" if levels == best else level for level in levels),
                *_score(summary, as_percent),
                str(summary.n) + (f" of {len(of)}" if summary.n < len(of) else ""),
                count(int(of[0]["parameters"])),
                f"{int(of[0]['macs']) / 1e6:,.1f}" if of[0]["macs"] else "",
                _minutes(of),
                mark,
            ]
        )
    head = [*factor_names(rows[0]), metric, "95 % interval", "n", "parameters", "million MACs", "minutes", ""]
    return head, lines


def _score(summary: Summary, as_percent: bool) -> list[str]:
    if not summary.n:
        return ["none", ""]
    if as_percent:
        deviation = f" ± {100 * summary.std:.2f}" if summary.n > 1 else ""
        interval = f"{100 * summary.low:.2f} to {100 * summary.high:.2f}" if summary.n > 1 else "none from one run"
        return [f"{100 * summary.mean:.2f}{deviation} %", interval]
    deviation = f" ± {summary.std:.4g}" if summary.n > 1 else ""
    return [f"{summary.mean:.4g}{deviation}", f"{summary.low:.4g} to {summary.high:.4g}" if summary.n > 1 else ""]


def _minutes(rows: Sequence[RunRow]) -> str:
    seconds = [float(row["train_seconds"]) for row in rows if row["train_seconds"]]
    return f"{median(seconds) / 60:.1f}" if seconds else ""


def build_caption(rows: Sequence[RunRow]) -> str:
    """Describe the columns of the table in a line."""
    done = [row for row in rows if row["status"] == "done"]
    machines = sorted({f"{row['cpu']}, {_threads(row['threads'])}, {row['precision']}" for row in done})
    folds = len({row["fold"] for row in rows}) if "fold" in rows[0] else 0
    overlap = (
        f" The training images of the {folds} folds overlap, so the runs are not independent, and the interval is too "
        "narrow (Bengio and Grandvalet 2004)."
    )
    text = (
        f"Mean ± standard deviation over n {'folds and seeds' if folds else 'seeds'}, 95 % interval of the mean (t)."
        f"{overlap if folds else ''} {len(done)} of {len(rows)} runs; "
        "like the best: Welch's t test with Holm's correction at 5 %. Minutes of training (median)"
    )
    return f"{text}: {'; '.join(machines)}." if machines else f"{text}."


def _threads(number: str) -> str:
    return "1 thread" if number == "1" else f"{number} threads"


def format_markdown(rows: Sequence[RunRow]) -> str:
    """Format the table and its caption in Markdown."""
    return f"{markdown_table(*build_table(rows))}\n\n{build_caption(rows)}\n"


def write_results(plan: Plan, rows: Sequence[RunRow], place: Path) -> Path:
    """Write results.csv, table.md and plot.png, and the table into a README.md that has the markers.

    Args:
        rows: see `build_rows`.
        place: the study's folder, or the folder of its runs if the rows are only a part of the study.
    """
    place.mkdir(parents=True, exist_ok=True)
    with replacing(place / RESULTS) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = format_markdown(rows)
    write_atomically(place / TABLE, text)
    picture = io.BytesIO()
    draw_figure(plan.question, rows).savefig(picture, format="png", dpi=100)
    with replacing(place / PLOT, "wb") as file:
        file.write(picture.getvalue())
    readme = place / "README.md"
    if readme.exists() and f"<!-- {MARKER} -->" in (old := readme.read_text(encoding="utf-8")):
        write_atomically(readme, replace_between_markers(old, MARKER, text))
    return place


def read_rows(file: Path) -> list[RunRow]:
    """The rows of a results.csv."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def draw_figure(title: str, rows: Sequence[RunRow]) -> Any:
    """Draw a dot for every run, and the mean with its interval for every variant."""
    from cnnkit.reporting.figures import new_figure

    variants, metric = group_by_variant(rows), metric_name(rows[0])
    as_percent = is_percentage(metric)
    scale = 100 if as_percent else 1
    drawn, axes = new_figure(7.0, 1.2 + 0.42 * len(variants))
    for place, (_, of) in enumerate(reversed(variants.items())):
        scores = collect_scores(of)
        summary = (summarize_shares if as_percent else summarize)(scores)
        axes.plot(
            [scale * score for score in scores], [place] * len(scores), "o", color="#999999", markersize=4, zorder=2
        )
        if summary.n:
            ends = [[scale * (summary.mean - summary.low)], [scale * (summary.high - summary.mean)]]
            spread = ends if summary.n > 1 else None
            axes.errorbar([scale * summary.mean], [place], xerr=spread, fmt="D", color="#0072B2", capsize=4, zorder=3)
    axes.set_yticks(range(len(variants)), [", ".join(levels) or "run" for levels in reversed(variants)])
    axes.set_ylim(-0.6, len(variants) - 0.4)
    axes.set_xlabel(f"{metric}{' in %' if scale == 100 else ''}: runs, mean and 95 % interval")
    drawn.suptitle("\n".join(textwrap.wrap(title, 95)), x=0.01, ha="left", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    return drawn


def print_results(plan: Plan, rows: Sequence[RunRow]) -> None:
    """Print the question and the table."""
    head, lines = build_table(rows)
    print(f"\n{printable(plan.question)}")
    print_table(head, [[cell.replace("**", "") for cell in line] for line in lines])
