"""Two ranks that release a backbone stay in step, and share the work of embedding images."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cnnkit.runs import find

WEIGHTS = """
import torch
from lightning.pytorch.callbacks import Callback

class KeepWeights(Callback):
    def on_train_end(self, trainer, module):
        torch.save(module.net.state_dict(), f"weights-{trainer.global_rank}.pt")
"""
NET = ["--model=TransferTask", "--model.net=CNN", "--model.net.channels=[4,6,8]", "--model.net.hidden_sizes=[]"]
# A net of other sums over two halves of a batch would hide what is looked for: no batch norm, no dropout.
RUN = [*NET, "--data.batch_size=32", "--trainer.limit_train_batches=3", "--trainer.enable_progress_bar=false"]
TWO = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        ["--model.mode=gradual", "--model.unfreeze_at=[1,2]", "--trainer.max_epochs=4"],
        ["--model.mode=embeddings", "--data.data_dir=d", "--data.train_fraction=0.11", "--trainer.max_epochs=1"],
    ],
    ids=["gradual", "embeddings"],
)
def test_two_ranks_stay_in_step_and_do_what_one_does(tmp_path: Path, mode: list[str]) -> None:
    (tmp_path / "keep.py").write_text(WEIGHTS)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNNKIT_PRECISION": "32-true"}

    def run(*words: str) -> str:
        keep = ["--trainer.callbacks", '[{"class_path": "keep.KeepWeights"}]']
        command = [sys.executable, "-m", "cnnkit", "fit", *RUN, *mode, *keep, *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    said = run(*TWO, "--name=two")
    one, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert said.count("not augmented") == mode[0].count("embeddings")
    again = run("--name=one")
    assert again.count("read from") == mode[0].count("embeddings")
    alone = torch.load(tmp_path / "weights-0.pt", weights_only=True)
    torch.testing.assert_close(alone, one, rtol=1e-3, atol=1e-5)
    runs = [find(tmp_path / "runs" / name).manifest() for name in ("one", "two")]
    assert runs[1]["last"]["train/loss"] == pytest.approx(runs[0]["last"]["train/loss"], rel=1e-4)
