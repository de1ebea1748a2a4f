import re
import subprocess
import sys

import pytest
from small_runs import Cli

import cnnkit

HEAVY = ("torch", "lightning", "numpy", "yaml")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], [], ["fit", "--help"], ["test", "-h"], ["fitt"]], ids=" ".join
)
def test_help_and_version_import_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from cnnkit.cli import main; main({words}); print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.endswith("[]\n")


def test_every_command_and_option_is_told_of(cli: Cli) -> None:
    ended = cli("--help")
    assert ended.code == 0
    assert all(word in ended.out for word in ("fit", "test", "validate", "predict", "--debug", "--version"))
    assert all(word in cli("fit", "--help").out for word in ("--config", "--resume", "--name", "--print_config"))
    assert "--run RUN" in cli("test", "--help").out
    assert cli("--version").out == f"cnnkit {cnnkit.__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model.net.help", "CNN"], "--net.channels"),
        (["--model.net.help", "ResNet"], "--net.depth"),
        (["--data.help", "CIFAR10"], "--data.init_args.batch_size"),
    ],
)
def test_help_on_a_class_shows_its_arguments(cli: Cli, words: list[str], expected: str) -> None:
    ended = cli("fit", *words)
    assert ended.code == 0
    assert expected.split(".")[-1] in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model.net.help", "needs a class after it; there are AlexNet, CNN"),
        ("--model.net.help --print_config", "needs a class after it; there are AlexNet, CNN"),
        ("--model.net.help Resnet", "there is no class 'Resnet' for it; did you mean ResNet?"),
        ("--model.net.help=Resnet", "there is no class 'Resnet' for it; did you mean ResNet?"),
        ("--data.help", "needs a class after it; there are CIFAR10"),
        ("--data.help CIFAR100", "there is no class 'CIFAR100' for it; did you mean CIFAR10?"),
        ("--model NoTask --model.net.help CNN", "another key on the command line is wrong; give this one alone"),
        ("--model.help CNN", "CNN is a class of another kind; there are AuxiliaryLossTask, ClassificationTask"),
    ],
)
def test_help_on_a_class_that_is_none_names_those_there_are(cli: Cli, words: str, said: str) -> None:
    ended = cli("fit", *words.split())
    flag = re.findall(r"--[\w.]+help", words)[0]
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), ended.err
    assert ended.err.startswith(f"error: {flag}: {said}"), ended.err


def test_the_commands_that_teach_are_below_one_word(cli: Cli) -> None:
    listed = cli("classroom").out
    assert all(f"classroom {name}" in listed for name in ("filter", "translation", "challenges", "course"))
    assert (cli("classroom", "filtr").code, cli("classroom", "filtr").err) == (
        2,
        "error: classroom: unknown command 'filtr'; did you mean filter?\n",
    )
    before, now = cli("course"), cli("classroom", "course")
    assert (before.code, before.out) == (now.code, now.out) == (0, now.out)
    assert (before.err, now.err) == ("note: `cnnkit course` is now `cnnkit classroom course`\n", "")


def test_help_before_a_command_is_the_help_of_the_command(cli: Cli) -> None:
    assert cli("help", "fit").out == cli("fit", "--help").out
    assert cli("classroom", "help").out == cli("classroom", "--help").out
    assert cli("help", "runs").out == cli("runs", "--help").out


def test_the_examples_hold_in_any_folder(cli: Cli) -> None:
    assert "configs/" not in cli("--help").out


@pytest.mark.parametrize("name", ["translation", "challenges"])
def test_no_line_of_help_is_too_long(cli: Cli, name: str) -> None:
    assert max(map(len, cli("classroom", name, "--help").out.splitlines())) <= 120
