from pathlib import Path

import pytest

from cnnkit.errors import UserError
from cnnkit.study.plan import read_plan

GOOD = """
question: Which?
config: base.yaml
overrides: {trainer.max_epochs: 1}
factors:
  net:
    small: {model.net.channels: [4]}
    big one: {model.net.channels: [8], trainer.max_epochs: 2}
  data.batch_size: [16, 32]
seeds: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("trainer: {max_epochs: 3}\n")
    (tmp_path / "which").mkdir()
    return tmp_path / "which"


def write(folder: Path, text: str) -> Path:
    (folder / "study.yaml").write_text(text)
    return folder


def test_factors_are_crossed_and_seeds_go_outside(folder: Path) -> None:
    plan = read_plan(write(folder, GOOD))
    assert plan.name == "which"
    assert [v.name for v in plan.variants] == ["small-16", "small-32", "big_one-16", "big_one-32"]
    assert [(r.seed, r.variant.name) for r in plan.runs][:5] == [
        *((0, v.name) for v in plan.variants),
        (1, "small-16"),
    ]


def test_a_level_wins_over_what_is_common(folder: Path) -> None:
    words = read_plan(write(folder, GOOD)).variants[2].words
    assert words[:2] == ("--config", str(folder.parent / "base.yaml"))
    assert words[2:] == ("--model.net.channels=[8]", "--trainer.max_epochs=2", "--data.batch_size=16")


def test_paired_factors_go_together(folder: Path) -> None:
    plan = read_plan(write(folder, GOOD + "paired: true\n"))
    assert [v.levels for v in plan.variants] == [
        {"net": "small", "data.batch_size": "16"},
        {"net": "big one", "data.batch_size": "32"},
    ]


def test_a_level_may_start_from_another_configuration(folder: Path) -> None:
    (folder.parent / "other.yaml").write_text("{}")
    text = "question: Q\nconfig: base.yaml\nfactors: {net: {a: {}, b: {config: other.yaml}}}\n"
    assert read_plan(write(folder, text)).variants[1].words == ("--config", str(folder.parent / "other.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question: Q\nconfig: base.yaml\nfaktors: {}\n", "did you mean factors"),
        ("question: Q\n", "config is missing"),
        ("question: Q\nconfig: none.yaml\n", "no such file"),
        ("question: Q\nconfig: base.yaml\nseeds: 0\n", "seeds is 0"),
        ("question: Q\nconfig: base.yaml\nseeds: [1, 1]\n", "different"),
        ("question: Q\nconfig: base.yaml\nseeds: yes\n", "expected int or list"),
        ("question: Q\nconfig: base.yaml\nfactors: {net: 3}\n", "factors.net"),
        ("question: Q\nconfig: base.yaml\nfactors: {net: {a b: {}, a_b: {}}}\n", "two variants"),
        ("question: Q\nconfig: base.yaml\nengine: slurm\n", "engine is 'slurm'"),
        ("question: Q\nconfig: base.yaml\noverrides: {name: x}\n", "the study sets it"),
        ("question: Q\nconfig: base.yaml\npaired: true\nfactors: {a: [1, 2], b: [1]}\n", "equally many"),
        ("question: [\n", "line 2: not valid YAML"),
        ("- 1\n", "not a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_file(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read_plan(write(folder, text))
    assert str(folder / "study.yaml") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_plan(tmp_path)


STUDIES = sorted((Path(__file__).parents[2] / "experiments").glob("*/study.yaml"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_the_studies_of_the_house_can_be_read(file: Path) -> None:
    plan = read_plan(file.parent)
    assert plan.budget
    assert len(plan.runs) == len(plan.seeds) * len(plan.variants) > 1


def test_folds_multiply_the_runs_of_a_variant_and_not_the_lines_of_the_table(folder: Path) -> None:
    plan = read_plan(write(folder, GOOD + "folds: 3\n"))
    assert len(plan.runs) == 4 * 3 * 2
    assert [v.name for v in plan.variants[:4]] == [*(f"small-16-fold{k}" for k in range(3)), "small-32-fold0"]
    assert plan.variants[2].words[-2:] == ("--data.folds=3", "--data.fold=2")
    assert {tuple(v.levels.values()) for v in plan.variants} == {
        (net, size) for net in ("small", "big one") for size in ("16", "32")
    }
    assert plan.runs[1].title == "small, 16, fold 1, seed 0"


@pytest.mark.parametrize("more", ["folds: 1", "folds: many", "folds: true", "folds: 3\nsearch: {trials: 2}"])
def test_folds_that_do_not_work_are_refused(folder: Path, more: str) -> None:
    with pytest.raises(UserError, match="folds is"):
        read_plan(write(folder, f"{GOOD}{more}\n"))
