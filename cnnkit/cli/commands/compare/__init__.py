"""``compare``: is one run really better than another?"""

import argparse
import json
import sys

from cnnkit.cli.outputs import check_png
from cnnkit.cli.parsing.options import Options, add_json, positive

DESCRIPTION = """\
Compare runs by what `test` kept of every test image. Two single runs are compared image by image: McNemar's exact test,
and a bootstrap of the images for the interval of the difference. Two folders of runs that differ by their seeds are
compared run by run: Welch's t test. With several labels an image, mean average precisions are compared in the same
way, single runs by the bootstrap alone. Of several pairs, p has Holm's correction. docs/comparing.md says what the
figures mean and what they do not.

RUN is a run folder, or a folder of them (runs/<name>): its finished runs, one a seed. A study's folder, that of its
study.yaml or that of its runs, stands for all its variants."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("compare", DESCRIPTION)
    options.add_argument("runs", nargs="+", metavar="RUN", help="what to compare, two or more")
    options.add_argument("-o", "--output", metavar="FILE", help="draw the test images they differ about, as PNG")
    options.add_argument("--images", type=positive, default=32, metavar="N", help="with -o: at the most so many (32)")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and draw the images if -o names a file."""
    output = check_png(args.output) if args.output else None
    from cnnkit.cli.commands.compare.comparison import Comparison
    from cnnkit.runs.candidates import read_candidates

    candidates, notes = read_candidates(args.runs)
    if candidates[0].predictions[0].multilabel:
        from cnnkit.cli.commands.compare.labels import run_label_comparison

        return run_label_comparison(candidates, notes, as_json=args.json, draws=output is not None)
    comparison = Comparison(candidates, notes)
    if not args.json:
        comparison.print()
    picture = comparison.draw(output, args.images) if output else None
    if args.json:
        print(json.dumps(comparison.as_json(picture), indent=2))
        return 0
    for note in comparison.notes:
        print(f"note: {note}", file=sys.stderr)
    if picture:
        count = len(comparison.places)
        print(f"{min(count, args.images):,} of the {count:,} images: {picture}")
    return 0
