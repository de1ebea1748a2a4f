"""The commands that look at nets, runs and data, one module each in `cnnkit.cli.commands`.

Such a module imports nothing heavy at its top and has two functions: ``arguments()``, its words and with them its help,
and ``run(options)``, which returns the exit code.
"""

from importlib import import_module
from typing import Any

from cnnkit.cli.errors.exit_codes import describe_briefly, run_to_exit_code
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

# Command -> its line in the list of commands, and an example.
VIEW_COMMANDS = {
    "summary": ("layers, shapes, parameters, MACs, receptive fields", "summary --config quickstart"),
    "explain": ("what in an image made the net decide", "explain --run runs/quickstart --images photo.jpg"),
    "report": ("one HTML page about a run, readable offline", "report --run runs/quickstart"),
    "pack": ("a model for others: files, card, script, check", "pack runs/quickstart"),
    "export": ("a file that predicts without cnnkit, checked", "export --run runs/quickstart --format onnx"),
    "serve": ("a trained net over HTTP, and a page to try it", "serve --run runs/quickstart"),
    "calibrate": ("make the probabilities of a run believable", "calibrate --run runs/quickstart"),
    "show-data": ("images, classes and augmentation of the data", "show-data --config quickstart"),
    "check": ("what in a configuration will hurt", "check --config quickstart"),
    "check-data": ("copies, broken files, doubtful labels", "check-data --data ImageFolder --data.root photos"),
    "find-lr": ("a learning rate, by a range test", "find-lr --config quickstart"),
    "find-batch-size": ("the speed and the limit of batch sizes", "find-batch-size --config quickstart"),
    "classroom": ("filters, changed test images, worked examples", "classroom course exercise"),
    "runs": ("a table of runs, one in detail, two compared", "runs --sort val/acc"),
    "compare": ("is one run really better than another?", "compare runs/a runs/b"),
    "configs": ("the configurations that come with cnnkit", "configs quickstart"),
    "study": ("configurations x seeds to one honest table", "study experiments/mlp_vs_cnn"),
}
# The commands that teach, below one word. `translation` and `challenges` are one measurement with two kinds of changes.
CLASSROOM = {
    "translation": ("accuracy when the test images are shifted", "classroom translation --run runs/quickstart"),
    "challenges": ("accuracy when test images are dark, turned, hidden", "classroom challenges --run runs/quickstart"),
    "filter": ("blur, sharpen, find edges in an image file", "classroom filter sobel photo.jpg -o edges.png"),
    "course": ("worked examples of a first course, by hand", "classroom course exercise"),
}


def run_view_command(command: str, words: list[str], *, debug: bool = False) -> int:
    """Run a command and turn what goes wrong into an exit code and at most three lines."""

    def run() -> int:
        name, rest = command.replace("-", "_"), words
        if command == "classroom":
            name, rest = f"classroom.{_choose_lesson(words)}", words[1:]
        module: Any = import_module(f"cnnkit.cli.commands.{name}")
        return int(module.run(module.arguments().read(rest)))

    return run_to_exit_code(run, describe_briefly, debug=debug)


def list_commands(commands: dict[str, tuple[str, str]]) -> str:
    """Format a line for each command: its name, what it does, an example."""
    return "\n".join(f"  {name:<17}{what:<53}{example}" for name, (what, example) in commands.items())


def _choose_lesson(words: list[str]) -> str:
    """Return the first word, if it is one of `CLASSROOM`; print the list and stop if it is ``--help``."""
    name = words[0] if words else "--help"
    if name in ("--help", "-h", "help"):
        print(f"usage: cnnkit classroom COMMAND [options]\n\n{list_commands(CLASSROOM)}")
        raise SystemExit(0)
    if name not in CLASSROOM:
        raise UserError(f"classroom: unknown command {name!r}{suggest(name, CLASSROOM)}")
    return name
