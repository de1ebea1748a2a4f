"""Runs on tables: fit, test and resume follow one split; each key refuses bad values in at most three lines."""

from pathlib import Path

import pytest
from made_tables import draw_png, write_csv, write_hub_parquet, write_images
from mistakes import assert_told
from small_runs import Cli

from cnnkit.data.folders.run_split import read_split
from cnnkit.runs import find
from cnnkit.runs.predictions import load_predictions

WORDS = [
    *("--data=ImageTable", "--data.data_dir=data", "--data.image_size=16", "--data.batch_size=8"),
    *("--data.num_workers=0", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--name=r"),
    *("--watch=null", "--model.net.channels=[4,4]"),
]
COUNT = 40


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    names = write_images(tmp_path / "photos", COUNT)
    labels = ["cat" if i % 2 else "dog" for i in range(COUNT)]
    columns = {"path": names, "label": labels, "patient": [i // 4 for i in range(COUNT)]}
    write_csv(tmp_path / "photos" / "rows.csv", columns)
    return Path("photos/rows.csv")


def test_a_run_is_tested_and_resumed_with_its_own_parts(cli: Cli, table: Path) -> None:
    fitted = cli("fit", *WORDS, f"--data.table={table}")
    assert fitted.code == 0, fitted.err
    assert "images from path, labels from label, groups from patient" in fitted.err
    run = find("runs/r")
    split, facts = read_split(run.split), run.manifest()["data"]
    assert split is not None
    assert sum(facts["groups"].values()) == 10
    assert facts["columns"] == {"image": "path", "labels": ["label"], "split": None, "group": "patient"}
    lines = table.read_text().splitlines()
    (table.parent / "new.png").write_bytes(draw_png(999))
    trained = next(row.path for row in split.rows if row.part == "train")
    group = next(line.split(",")[2] for line in lines if line.startswith(Path(trained).name))
    table.write_text("\n".join([*lines, f"new.png,cat,{group}"]) + "\n")  # another image of a patient trained on
    tested = cli("test", "--run", "runs/r")
    assert tested.code == 0, tested.err
    assert "1 added (1 train; " in tested.err
    kept = load_predictions(run.predictions)
    assert {f"{value:016x}" for value in kept.identity} == {row.content for row in split.rows if row.part == "test"}
    resumed = cli("fit", "--resume", "runs/r", "--trainer.max_epochs=2")
    assert resumed.code == 0, resumed.err
    (table.parent / Path(trained).name).unlink()
    gone = cli("fit", "--resume", "runs/r", "--trainer.max_epochs=3")
    assert gone.code == 2
    assert "are gone" in gone.err


def test_shards_with_bytes_train_and_the_decoded_images_are_found_again(cli: Cli, tmp_path: Path) -> None:
    for k, part in enumerate(("train", "validation", "test")):
        rows = [{"bytes": draw_png(100 * k + i), "path": None} for i in range(12)]
        write_hub_parquet(tmp_path / "hub" / f"{part}-00000-of-00001.parquet", rows, [0, 1] * 6, ["ant", "bee"])
    assert cli("fit", *WORDS, "--data.table=hub").code == 0
    tested = cli("test", "--run", "runs/r")
    assert tested.code == 0, tested.err
    assert "decoded images from" in tested.err
    shown = cli("show-data", "--data=ImageTable", "--data.table=hub", "--data.data_dir=data", "--data.image_size=16")
    assert shown.code == 0, shown.err
    assert "ant" in shown.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data.table=nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["--data.table=photos"], "photos: has no Parquet files"),
        (["--data.image_column=pth"], "did you mean path?"),
        (["--data.label_column=lable"], "did you mean label?"),
        (["--data.label_column=[label, patient]"], "a column for a class has 0 and 1"),
        (["--data.split_column=patient"], "is neither train nor val nor test"),
        (["--data.group_column=x"], "has no such column; there are label, path, patient"),
        (["--data.label_separator=at"], "has an empty label among others"),
        (["--data.root=elsewhere"], "40 of 40 image files are missing, the first is elsewhere/0.png in row 1 (line 2)"),
        (["--model.multilabel=true"], "model.multilabel is true, but ImageTable has one label an image"),
        (["--data.label_separator=;", "--trainer.limit_val_batches=1"], "set model.multilabel to true"),
    ],
)
def test_each_key_refuses_bad_values(cli: Cli, table: Path, words: list[str], expected: str) -> None:
    ended = cli("fit", *WORDS, f"--data.table={table}", *words)
    said = [line for line in ended.err.splitlines() if not line.startswith("cnnkit: ")]  # such as detected columns
    assert_told(ended._replace(err="\n".join(said)), expected)
