"""``python -m benchmarks [NAME ...] [--rounds N] [--quick] [--json FILE]``."""

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import environment

NAMES = (
    "loader",
    "augment",
    "fit",
    "dashboard",
    "script",
    "allocator",
    "memory",
    "folder",
    "start",
    "neighbor",
    "profile",
    "tax",
    "typos",
    "kills",
    "fuzz",
    "growth",
    "deploy",
    "serve",
)
ON_REQUEST = ("peers", "photos", "parity")  # install packages, or take many minutes


def main(args: list[str] | None = None) -> list[Any]:
    """Run the benchmarks, print their tables, and return them.

    Args:
        args: the words after the program's name; none given: ``sys.argv``.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks; see docs/benchmarks.md.")
    names = ", ".join(NAMES + ON_REQUEST)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {names} (default: all but the last three)")
    parser.add_argument("--rounds", type=int, help="how often both sides of a comparison are run in turn")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see it work: figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single figure to FILE")
    options = parser.parse_args(args)
    if unknown := set(options.names) - {*NAMES, *ON_REQUEST}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {names}")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: give at least 1")

    facts = environment()
    print("\n".join(f"{key:<9}{value}" for key, value in facts.items()), flush=True)
    tables: list[Any] = []
    for name in options.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        for table in module.run(rounds=options.rounds or (2 if options.quick else module.ROUNDS), quick=options.quick):
            print(f"\n{table}", flush=True)
            tables.append(table)
    if options.json:
        found = {"environment": facts, "tables": [dataclasses.asdict(table) for table in tables]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return tables


if __name__ == "__main__":
    main()
    sys.exit(0)
