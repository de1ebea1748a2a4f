"""Records of run folders, and choosing among them."""

from pathlib import Path

import pytest
from fake_runs import fake_run, rightly

from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.queries import check_keys, read_condition, sort_records
from cnnkit.runs.records import RunRecord, config_differences, flatten, read_record, read_records


@pytest.fixture
def runs(tmp_path: Path) -> list[RunRecord]:
    fake_run(tmp_path / "cnn/1", started="2026-01-01T10:00:00+00:00", correct=rightly(10, [0]))
    fake_run(tmp_path / "cnn/2", started="2026-01-03T10:00:00+00:00", dropout=0.5, last={"val/loss": 0.5}, best=None)
    fake_run(tmp_path / "mlp/3", started="2026-01-02T10:00:00+00:00", net="MLP", status="failed", reason="a tree fell")
    return read_records(tmp_path)


def names(records: list[RunRecord]) -> str:
    return "".join(record.path.name for record in records)


def test_runs_are_found_at_any_depth_the_newest_first(runs: list[RunRecord], tmp_path: Path) -> None:
    assert names(runs) == "231"
    (tmp_path / "cnn/1/checkpoints").mkdir()
    (tmp_path / "cnn/1/checkpoints/config.yaml").touch()
    (tmp_path / ".old").mkdir()
    (tmp_path / ".old/manifest.json").write_text("{}")
    assert names(read_records(tmp_path)) == "231"
    assert names(read_records(tmp_path / "cnn/1")) == "1"


def test_a_key_is_a_fact_a_score_or_an_entry_of_the_files(runs: list[RunRecord]) -> None:
    run = runs[2]
    expected = {
        "name": "cnn",
        "net": "CNN",
        "parameters": 1234,
        "seconds": 90.0,
        "minutes": 1.5,
        "val/acc": 0.625,  # of the best epoch
        "last.val/acc": 0.5,
        "val/loss": 1.5,
        "test/acc": 0.9,
        "test_looks": 1,
        "machine.cpu": "abacus",
        "data.fingerprint": "f0",
        "model": "cnnkit.ClassificationTask",
        "model.net": "cnnkit.CNN",
        "model.net.channels": [4, 8],
        "data.batch_size": 32,
        "nothing": None,
    }
    assert {key: run.get(key) for key in expected} == expected
    assert set(expected) - {"nothing"} <= run.keys()


def test_a_broken_run_is_a_record_with_a_reason(tmp_path: Path) -> None:
    contents = {"cut": b'{"status": "fini', "list": b"[1]", "bytes": b"\xff\xfe\x00", "odd": b'{"data": 3, "net": []}'}
    for name, content in contents.items():
        run = fake_run(tmp_path / name)
        (run / "manifest.json").write_bytes(content)
        (run / "config.yaml").write_text("a: [1,\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/config.yaml").write_bytes(b"\xff")
    found = {record.path.name: record for record in read_records(tmp_path)}
    assert {name: (r.facts["status"], r.facts["reason"]) for name, r in found.items()} == {
        "cut": ("broken", "manifest.json is no JSON"),
        "list": ("broken", "manifest.json is no mapping"),
        "bytes": ("broken", "manifest.json is no JSON"),
        "odd": ("not started", None),
        "none": ("not started", None),
    }
    assert all(record.config == {} and record.scores == {} for record in found.values())
    assert found["odd"].get("net") is None


def test_a_configuration_has_the_names_of_the_command_line() -> None:
    augment = [{"class_path": "cnnkit.transforms.Flip", "init_args": {"p": 0.5}}, {"class_path": "a.Crop"}]
    config = {"data": {"class_path": "a.D", "init_args": {"augment": augment, "empty": {}}}, "x": None}
    expected = {"data": "a.D", "data.augment": ["Flip(p=0.5)", "Crop()"], "data.empty": {}, "x": None}
    assert flatten(config) == expected
    assert flatten({"net": {"class_path": "a.N", "init_args": {}}}) == {"net": "a.N"}


def test_what_differs_between_two_configurations(runs: list[RunRecord]) -> None:
    assert config_differences(runs[0], runs[2]) == {"model.net.dropout": (0.5, 0.0)}
    assert config_differences(runs[1], runs[2]) == {"model.net": ("cnnkit.MLP", "cnnkit.CNN")}  # but not the name


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("net=CNN", "21"),
        ("net!=CNN", "3"),
        ("model.net == MLP", "3"),
        ("model.net=cnnkit.MLP", "3"),
        ("val/acc>0.6", "31"),
        ("val/acc >= 0.625", "31"),
        ("val/acc<0.625", ""),
        ("val/acc!=0.625", "2"),
        ("val/acc=null", "2"),
        ("model.net.dropout=5e-1", "2"),
        ("model.net.channels=[4,8]", "231"),
        ("when>2026-01-02", "23"),
        ("status=failed", "3"),
        ("reason=a tree fell", "3"),
        ("net>3", "231"),  # text after text
        ("model.net.channels>3", ""),
    ],
)
def test_runs_are_chosen_by_conditions(runs: list[RunRecord], condition: str, expected: str) -> None:
    assert names([run for run in runs if read_condition(condition).holds(run)]) == expected


def test_a_number_is_not_more_than_a_word(runs: list[RunRecord]) -> None:
    with pytest.raises(UserError, match="--where parameters>CNN: parameters is a number; give one"):
        [read_condition("parameters>CNN").holds(run) for run in runs]


@pytest.mark.parametrize("text", ["", "net", "net=", "=3", "a b=3", "net~CNN"])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(UserError, match="write a condition such as"):
        read_condition(text)


@pytest.mark.parametrize(
    ("key", "reverse", "expected"),
    [
        ("val/acc", False, "312"),  # equal ones stay as they were, missing ones come last
        ("val/acc", True, "312"),
        ("val/loss", False, "231"),
        ("val/loss", True, "312"),
        ("model.net.dropout", False, "231"),
        ("net", False, "213"),
        ("net", True, "321"),
        ("when", False, "132"),
        ("test/acc", True, "123"),
    ],
)
def test_runs_are_sorted_with_the_best_first(runs: list[RunRecord], key: str, reverse: bool, expected: str) -> None:
    assert names(sort_records(runs, key, reverse)) == expected


def test_a_diverged_run_is_not_the_best(tmp_path: Path) -> None:
    for name, loss in (("a", float("nan")), ("b", 2.0), ("c", 1.0)):
        fake_run(tmp_path / name, last={"val/loss": loss})
    assert names(sort_records(read_records(tmp_path), "val/loss")) == "cba"


def test_a_key_that_no_run_knows_is_named_with_the_closest(runs: list[RunRecord]) -> None:
    check_keys(runs, ["net", "val/acc", "model.net.dropout", "test/acc"])
    check_keys([], ["anything"])
    with pytest.raises(UserError, match=r"model\.net\.dropot: no run has such a value; there are model\.net\.dropout"):
        check_keys(runs, ["model.net.dropot"])


def test_the_record_of_a_real_run(trained_once: RunFolder) -> None:
    record = read_record(trained_once.path)
    assert record.facts["status"] == "finished"
    assert record.get("net") == "CNN"
    assert read_condition("model.net=CNN").holds(record)
    assert record.get("model.net.channels") == [4, 8]
    assert record.get("val/acc") == trained_once.manifest()["best"]["val/acc"]
    assert record.get("data.val_images") == 1000
