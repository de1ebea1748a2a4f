"""The table of what works: one row a setting, judged by how the command ended, kept in docs/compatibility.md."""

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from compatibility.harness import Attempt

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
Result = Literal["works", "refused", "FAULT"]
# Warnings that say that something was asked for and not done.
IGNORED = re.compile(r"ignor|has no effect|will not|won't|not supported|unsupported|disabl|skipp|instead|fall", re.I)
# What a library writes for programmers.
RAW = re.compile(r"`|<class|<function|object at 0x|Trainer\(|\.__init__|Exception|Expected a <|\bself\.|Namespace\(")


class Outcome(NamedTuple):
    """One row of the table."""

    group: str
    name: str
    setting: str
    result: Result
    reason: str = ""


def judge(
    group: str,
    name: str,
    setting: str,
    end: Attempt,
    effect: Callable[[Attempt], object] | None = None,
    *,
    named: Sequence[str] = (),
    expected: str = "",
    late: bool = False,
) -> Outcome:
    """Judge an attempt: works, refused in at most three lines that name the key, or a fault.

    Args:
        group: section of the table.
        name: of the argument, class or function that was tried.
        setting: what it was given, in short.
        end: how the command ended.
        effect: true for an attempt in which the setting took effect; called when the command ended well.
        named: words of which a refusal must contain one; none given: the name.
        expected: part of a warning that is no fault, as it says what the setting does.
        late: whether it can be refused after the first epoch alone, and a run folder may be left.
    """

    def row(result: Result, reason: str = "") -> Outcome:
        return Outcome(group, name, setting, result, _plain(reason, end))

    lines = end.err.strip().splitlines()
    told = next((lines[i:] for i, line in enumerate(lines) if line.startswith("error: ")), [])
    if "Traceback" in end.err or "Traceback" in end.out:
        return row("FAULT", f"a traceback: {lines[-1]}")
    if end.code == 0:
        ignored = [text for text in end.warned if IGNORED.search(text) and not (expected and expected in text)]
        if ignored:
            return row("FAULT", f"warns: {ignored[0]}")
        if effect is not None and not effect(end):
            return row("FAULT", "has no effect")
        return row("works")
    message = told[0].removeprefix("error: ") if told else end.err.strip()
    if end.code != 2:
        return row("FAULT", f"exit {end.code}: {message}")
    if not 1 <= len(told) <= 3:
        return row("FAULT", f"{len(told)} lines: {message}")
    names_another = re.match(r"(model|data)\.\w+", message) is not None  # which the setting does not go with
    if not names_another and not any(word.lower() in message.lower() for word in named or (name,)):
        return row("FAULT", f"names no key: {message}")
    if RAW.search(message):
        return row("FAULT", f"a raw message: {message}")
    if end.run is not None and not late:
        return row("FAULT", f"refused, but a run folder is left: {message}")
    return row("refused", message)


def _plain(text: str, end: Attempt) -> str:
    """One line without what changes from run to run."""
    text = " ".join(text.replace(str(end.folder), ".").split())
    return re.sub(r"0x[0-9a-f]+", "0x…", text)[:300]


def read(page: Path = PAGE) -> list[Outcome]:
    """The rows of the committed page."""
    rows, group = [], ""
    for line in page.read_text(encoding="utf-8").splitlines() if page.exists() else ():
        if line.startswith("## "):
            group = line[3:].rsplit(" (", 1)[0]
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[2] in ("works", "refused", "FAULT"):
            rows.append(Outcome(group, _bare(cells[0]), _bare(cells[1]), cells[2], cells[3]))  # type: ignore[arg-type]
    return rows


def merge(old: Iterable[Outcome], new: Iterable[Outcome]) -> list[Outcome]:
    """The new rows in place of the old ones of the same group and name."""
    fresh = list(new)
    replaced = {(row.group, row.name) for row in fresh}
    return [row for row in old if (row.group, row.name) not in replaced] + fresh


def write(rows: Iterable[Outcome], page: Path = PAGE) -> None:
    """Write the page: the share that works, then a table a group."""
    page.write_text(render(rows), encoding="utf-8")


def render(rows: Iterable[Outcome]) -> str:
    """The page as text."""
    rows = sorted(dict.fromkeys(rows), key=lambda row: (row.group, row.name.lower(), row.name))
    names = ("lightning", "torch", "timm")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    parts = [HEAD.format(share=_share(rows), versions=versions)]
    for group in dict.fromkeys(row.group for row in rows):
        own = [row for row in rows if row.group == group]
        parts.append(f"\n## {group} ({_share(own)})\n\n| name | setting | result | reason |\n|---|---|---|---|\n")
        parts += [f"| `{r.name}` | {_code(r.setting)} | {r.result} | {_cell(r.reason)} |\n" for r in own]
    return "".join(parts)


HEAD = """# Compatibility

What the options of Lightning, torch and timm do in cnnkit. Each row is a run of a few seconds: it *works*, with the
effect that the option is for, or it is *refused* before training, with exit code 2 and the reason in the last column.
{share} with {versions}.

`pytest tests/compatibility -m slow --write-table` writes this page. It finds the options in the installed libraries, so
a new release of one needs no new code; a row that ends in neither way is marked FAULT and fails the tests.
"""


def _share(rows: list[Outcome]) -> str:
    counts = {result: sum(row.result == result for row in rows) for result in ("works", "refused", "FAULT")}
    text = f"{counts['works']} of {len(rows)} work, {counts['refused']} are refused"
    return f"{text}, {counts['FAULT']} FAULTS" if counts["FAULT"] else text


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _bare(cell: str) -> str:
    return cell[1:-1] if cell.startswith("`") and cell.endswith("`") and len(cell) > 1 else cell
