import errno
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnkit.callbacks import SafeCheckpointIO, load_checkpoint
from cnnkit.errors import UserError

STATE = {
    "state_dict": {"w": torch.arange(4.0)},
    "epoch": 2,
    "global_step": 6,
    "pytorch-lightning_version": "2.6.6",
}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil-was-here"),)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    SafeCheckpointIO().save_checkpoint(STATE, tmp_path / "new" / "a.ckpt")
    found = SafeCheckpointIO().load_checkpoint(tmp_path / "new" / "a.ckpt")
    assert torch.equal(found["state_dict"]["w"], STATE["state_dict"]["w"])
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter")]
)
def test_a_write_that_fails_midway_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    target = tmp_path / "last.ckpt"
    SafeCheckpointIO().save_checkpoint(STATE, target)
    before = target.read_bytes()

    def fail(state: Any, file: Any) -> None:
        file.write(before[:100])
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match=r"last\.ckpt: cannot save the checkpoint .*untouched"):
        SafeCheckpointIO().save_checkpoint(STATE, target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("make", ["pickle", "torch"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file = tmp_path / "evil.ckpt"
    if make == "pickle":
        file.write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"state_dict": {}, "x": Evil()}, file)
    with pytest.raises(UserError, match=r"evil\.ckpt"):
        load_checkpoint(file)
    assert not Path("evil-was-here").exists()


def test_urls_and_missing_files_are_refused() -> None:
    with pytest.raises(UserError, match="local files only"):
        load_checkpoint("https://example.org/a.ckpt")
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint("nothing.ckpt")
