"""What is no file is refused, not waited for, by everything that reads one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnkit.callbacks import load_checkpoint
from cnnkit.cli.parsing.command_line import read_config
from cnnkit.errors import UserError
from cnnkit.loggers import MetricsCSV
from cnnkit.runs import RunFolder, find
from cnnkit.runs.metrics import read_metrics
from cnnkit.runs.predictions import load_predictions
from cnnkit.runs.records import read_record
from cnnkit.weights import read_weights

READERS: dict[str, Callable[[Path], object]] = {
    "configuration": read_config,
    "checkpoint": load_checkpoint,
    "weights": read_weights,
    "metrics": read_metrics,
    "predictions": load_predictions,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_and_a_device_are_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(UserError, match=f"{path}: {kind}, where a file is needed"):
            READERS[name](path)


def test_pipes_within_a_run_folder_are_no_trap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(tmp_path / "a/1")
    run.path.mkdir(parents=True)
    for file in (run.manifest_file, run.metrics):
        os.mkfifo(file)
    with pytest.raises(UserError, match="named pipe"):
        run.manifest()
    assert read_record(run.path).facts["status"] == "broken"
    assert MetricsCSV(run.metrics, resume_step=1).rows == {}
    os.mkfifo(run.config)
    with pytest.raises(UserError, match=r"no config\.yaml"):
        find(run.path)
    with pytest.raises(UserError, match="not a run folder but a file"):
        find(run.manifest_file)
