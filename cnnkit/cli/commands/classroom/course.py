"""``classroom course``: the worked examples of docs/course, step by step."""

import argparse
import json

from cnnkit.cli.outputs import check_png, write_bytes
from cnnkit.cli.parsing.options import Options, add_json
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

DESCRIPTION = """\
Work an example of the course notes out, step by step, and draw it if it has a picture. Without a name, list the
examples. The derivations are in docs/course/."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("classroom course", DESCRIPTION)
    options.add_argument("name", nargs="?", metavar="NAME", help="the example")
    options.add_argument("-o", "--output", metavar="FILE", help="draw it, as PNG")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Print one example, or their names."""
    from cnnkit.classroom.lessons import LESSONS

    output = check_png(args.output) if args.output else None
    if args.name is None:
        if output:
            raise UserError(f"--output draws one example: name it, one of {', '.join(LESSONS)}")
        summaries = {name: (lesson.__doc__ or "").strip() for name, lesson in LESSONS.items()}
        print(json.dumps(summaries, indent=2) if args.json else _as_table(summaries))
        return 0
    if args.name not in LESSONS:
        raise UserError(f"there is no example {args.name!r}{suggest(args.name, LESSONS)}")
    lesson = LESSONS[args.name]()
    if output and lesson.draw is None:
        raise UserError(f"--output: the example {args.name} has no picture; leave it out")
    if args.json:
        print(json.dumps({"name": args.name, "lines": lesson.lines, "picture": output and str(output)}, indent=2))
    else:
        print("\n".join(lesson.lines))
    if output and lesson.draw:
        from cnnkit.reporting.figures import png_bytes

        write_bytes(output, png_bytes(lesson.draw()))
    return 0


def _as_table(summaries: dict[str, str]) -> str:
    return "\n".join(f"{name:12}{text}" for name, text in summaries.items())
