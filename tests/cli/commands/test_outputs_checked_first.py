"""An output that cannot be written is refused before the work, whichever command would write it."""

from pathlib import Path

import pytest
from fake_runs import fake_run
from small_runs import Cli

COMMANDS = [
    "classroom translation --run {run} --csv /proc/out.csv",
    "classroom challenges --run {run} -o /proc/out.png",
    "classroom course exercise -o /proc/out.png",
    "compare {run} {run} -o /proc/out.png",
    "explain --run {run} --test_images 0 -o /proc/out.png",
    "explain --run {run} --test_images 0 -o /proc/folder",
    "predict --ckpt_path no.ckpt --images {image} -o /proc/out.csv",
    "report --run {run} -o /proc/out.html",
    "check-data --data Nothing -o /proc/out.html",
    "find-lr --model.net Nothing -o /proc/out.png",
    "show-data --data Nothing -o /proc/out.png",
    "summary --model.net Nothing --effective /proc/out.png",
]


@pytest.mark.parametrize("command", COMMANDS, ids=[command.partition(" --")[0] for command in COMMANDS])
def test_an_output_is_checked_before_the_work(cli: Cli, tmp_path: Path, command: str) -> None:
    """No run here has weights and no net or data of that name exists: any work would end in another error."""
    image = tmp_path / "image.png"
    image.touch()
    ended = cli(*command.format(run=fake_run(tmp_path / "runs/a/1"), image=image).split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: /proc/")
    assert "cannot be written (No such file or directory); name another file" in ended.err
