import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from cnnkit.errors import UserError
from cnnkit.files import write_atomically
from cnnkit.runs import RunFolder, create, find


def make(root: str) -> str:
    return str(create(root, "same").path)


def test_runs_started_in_the_same_second_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two letters instead of 65,536 names: most attempts collide and must try again.
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")
    monkeypatch.setattr("secrets.token_hex", lambda _: os.urandom(1).hex()[:1] + os.urandom(1).hex()[:1])
    roots = [str(tmp_path)] * 100
    with ThreadPoolExecutor(8) as threads, ProcessPoolExecutor(2, get_context("fork")) as processes:
        by_processes = processes.map(make, roots, chunksize=10)
        made = [*threads.map(make, roots), *by_processes]
    assert len(set(made)) == 200
    assert all(Path(path).is_dir() for path in made)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", ".hidden", "x" * 65, "ä"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="use at most 64 letters"):
        create(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_and_a_folder_that_cannot_be_made_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot make the run folder|in the way"):
        create(tmp_path / "runs", "a")
    (tmp_path / "name").write_text("not a folder")
    with pytest.raises(UserError, match=r"in the way of the run folder"):
        create(tmp_path, "name")

    def deny(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", deny)
    with pytest.raises(UserError, match=r"Permission denied\); set trainer\.default_root_dir"):
        create(tmp_path, "b")


def test_the_newest_run_below_a_folder_is_found(tmp_path: Path) -> None:
    first, second = create(tmp_path, "a"), create(tmp_path, "b")
    for age, run in ((100, second), (0, first)):
        run.config.write_text("")
        os.utime(run.config, (time.time() - age,) * 2)
    assert find(tmp_path).path == first.path
    assert find(second.path).path == second.path


def test_the_manifest_is_merged_and_none_removes(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_manifest(a=1, times={"x": 1}, gone=1)
    run.update_manifest(b=2, times={"y": 2}, gone=None)
    assert run.manifest() == {"a": 1, "times": {"x": 1, "y": 2}, "b": 2}
    run.manifest_file.write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
        run.manifest()


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "new \ud800")  # half a character cannot be written
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_discard_takes_only_what_a_run_wrote_before_its_first_step(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", "a")
    run.config.write_text("")
    run.update_manifest(a=1)
    (run.path / "events.out.tfevents.1").write_text("")
    run.checkpoints.mkdir()
    mine = run.path / "notes.txt"
    mine.write_text("mine")
    run.discard()
    assert [p.name for p in run.path.iterdir()] == ["notes.txt"]
    mine.unlink()
    run.discard()
    assert not (tmp_path / "runs").exists()
    assert tmp_path.exists()


def test_a_best_checkpoint_that_is_gone_is_not_replaced_by_the_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    run.last.touch()
    assert run.best == run.last, "nothing was validated"
    run.manifest_file.write_text('{"best": {"val/acc": 0.5, "epoch": 2}}')
    with pytest.raises(UserError, match=r"best\.ckpt: is gone, though the run has validated"):
        run.best  # noqa: B018
    (run.checkpoints / "best.ckpt").touch()
    assert run.best.name == "best.ckpt"
