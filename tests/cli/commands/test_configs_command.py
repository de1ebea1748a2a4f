"""The cards that come with cnnkit: found by name in any folder, listed with their results."""

import json
from pathlib import Path

import pytest
from small_runs import SHORT, Cli

from cnnkit.config_files.cards import card_names, cards_folder, find_config, name_config, read_card
from cnnkit.study.plan import read_plan

CONFIGS = Path(__file__).parents[3] / "configs"


def test_every_card_has_a_name_and_a_measured_result(cli: Cli) -> None:
    assert card_names() == sorted(file.stem for file in CONFIGS.glob("*.yaml"))
    listed = cli("configs")
    lines = listed.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == card_names()
    for card, line in zip(json.loads(cli("configs", "--json").out), lines[1:], strict=True):
        assert card["about"] in line
        assert "% test accuracy (" in card["result"]
        assert card["result"].split(" test accuracy")[0] in line


def test_a_card_is_printed(cli: Cli) -> None:
    assert cli("configs", "quickstart").out == (CONFIGS / "quickstart.yaml").read_text()
    ended = cli("configs", "quikstart")
    assert (ended.code, ended.err) == (
        2,
        "error: no configuration 'quikstart' comes with cnnkit; did you mean quickstart?\n",
    )


def test_a_card_trains_by_its_name_in_any_folder(cli: Cli) -> None:
    ended = cli("fit", "--config", "quickstart", *SHORT)
    assert ended.code == 0, ended.err
    assert len(list(Path("runs/quickstart").glob("*/config.yaml"))) == 1


@pytest.mark.parametrize("own", ["quickstart", "quickstart.yaml"])
def test_a_file_of_the_working_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mnist_lenet5").mkdir()
    Path(own).touch()
    assert find_config("quickstart") == find_config("./quickstart") == Path(own)
    assert find_config("mnist_lenet5") == find_config("./mnist_lenet5") == read_card("mnist_lenet5").file
    assert find_config("configs/quickstart.yaml") == Path("configs/quickstart.yaml")


@pytest.mark.parametrize("wrong", ["quikstart", "quickstart.yaml"])
def test_a_mistyped_name_suggests_a_card(cli: Cli, wrong: str) -> None:
    ended = cli("fit", "--config", wrong)
    assert (ended.code, ended.err) == (
        2,
        f"error: {wrong}: no such configuration file; did you mean quickstart?\n",
    )


def test_a_name_that_resembles_no_card_leads_to_their_list(cli: Cli) -> None:
    assert cli("fit", "--config", "zzz").err == (
        "error: zzz: no such configuration file; `cnnkit configs` lists those that come with cnnkit\n"
    )


def test_an_empty_file_leads_to_a_card(cli: Cli) -> None:
    Path("empty.yaml").touch()
    assert cli("fit", "--config", "empty.yaml").err == (
        "error: empty.yaml: empty; `cnnkit configs quickstart` shows what one looks like\n"
    )


def test_one_configuration_is_printed_at_a_time(cli: Cli) -> None:
    assert cli("configs", "quickstart", "mnist_lenet5").err == (
        "error: mnist_lenet5: one word too many (cnnkit configs --help tells more)\n"
    )


def test_a_study_starts_from_a_card(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("question: which?\nconfig: quickstart\n")
    assert read_plan(tmp_path).variants[0].words == ("--config", "quickstart")


def test_a_shipped_configuration_is_named_and_any_other_is_a_path(cli: Cli) -> None:
    assert name_config(find_config("quickstart")) == "quickstart"
    Path("quickstart.yaml").touch()  # now the name is that of this file
    assert name_config(cards_folder() / "quickstart.yaml") == str(cards_folder() / "quickstart.yaml")
    assert name_config(find_config("quickstart")) == "quickstart.yaml"


def test_a_study_prints_the_name_of_a_shipped_configuration(cli: Cli) -> None:
    Path("s").mkdir()
    Path("s/study.yaml").write_text("{question: 'Is it?', config: quickstart}")
    assert "cnnkit fit --config quickstart\n" in cli("study", "s", "--dry_run").out
