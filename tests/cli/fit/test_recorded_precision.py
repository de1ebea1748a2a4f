"""The precision that manifest, configuration and printed lines name is the one that was computed in."""

from pathlib import Path

import pytest
import yaml
from small_runs import SMALL, Cli

from cnnkit.errors import UserError
from cnnkit.precision import PrecisionChoice
from cnnkit.runs import RunFolder, find
from cnnkit.runs.repetitions import read_repetitions
from cnnkit.study.precision import choose_precision


def test_float16_on_a_cpu_is_recorded_as_the_bfloat16_that_it_runs_in(cli: Cli) -> None:
    ended = cli("fit", *SMALL, "--trainer.accelerator=cpu", "--trainer.precision=16-mixed")
    assert ended.code == 0, ended.err
    said = "bf16-mixed (16-mixed was requested; on the CPU Lightning computes in bf16-mixed)"
    assert ended.out.count(said) == 1
    run = find("runs")
    assert run.manifest()["precision"]["value"] == "bf16-mixed"
    assert yaml.safe_load(run.config.read_text())["trainer"]["precision"] == "bf16-mixed"
    tested = cli("test", "--run", str(run), "--trainer.precision=16-mixed", "--trainer.accelerator=cpu")
    assert tested.err.count("16-mixed was requested") == 1


def test_a_precision_plugin_is_not_contradicted_by_the_default(cli: Cli) -> None:
    ended = cli("fit", *SMALL, "--trainer.plugins=lightning.pytorch.plugins.DoublePrecision")
    assert ended.code == 0, ended.err
    run = find("runs")
    assert run.manifest()["precision"] == {"value": "64-true", "reason": "brought by a plugin"}


def test_the_default_is_decided_for_the_net(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def choose(accelerator: str, net: object) -> PrecisionChoice:
        seen.append(type(net).__name__)
        return PrecisionChoice("32-true", "because")

    monkeypatch.setattr("cnnkit.cli.fit.trainer_values.default_precision", choose)
    ended = cli("fit", *SMALL)
    assert ended.code == 0, ended.err
    assert seen == ["CNN"]
    assert "32-true (because)" in ended.out


def test_a_study_has_one_precision() -> None:
    fast, right = PrecisionChoice("bf16-mixed", "a"), PrecisionChoice("32-true", "b")
    assert choose_precision(Path("runs/s"), [], [fast, fast]) == fast
    assert choose_precision(Path("runs/s"), [], [fast, right]) == right
    assert choose_precision(Path("runs/s"), ["bf16-mixed"], [right]).precision == "bf16-mixed"
    with pytest.raises(UserError, match=r"runs/s: .*different precisions \(1 in 32-true, 2 in bf16-mixed\)"):
        choose_precision(Path("runs/s"), ["bf16-mixed", "32-true", "bf16-mixed"], [fast])


def test_seeds_in_two_precisions_are_not_pooled(tmp_path: Path) -> None:
    def make(name: str, seed: int, precision: str) -> None:
        run = RunFolder(tmp_path / "nets" / name)
        run.path.mkdir(parents=True)
        run.config.write_text(f"seed_everything: {seed}\ntrainer: {{precision: {precision}}}\n")
        run.update_manifest(
            status="finished", seed=seed, started=f"2026-01-0{seed + 1}", code="c", precision={"value": precision}
        )

    make("a", 0, "32-true")
    make("b", 1, "bf16-mixed")
    with pytest.raises(
        UserError, match=r"different precisions \(a in 32-true, b in bf16-mixed\), which cannot be pooled"
    ):
        read_repetitions(tmp_path / "nets", [])
    make("c", 0, "bf16-mixed")  # the one in float32 is replaced
    found = read_repetitions(tmp_path / "nets", [])
    assert [record.path.name for record in found[0][1]] == ["c", "b"]


STUDY = """
question: Which?
config: {config}
overrides:
  trainer.max_epochs: 1
  trainer.limit_train_batches: 2
  data.batch_size: 16
  model.net: MLP
  watch: null
factors:
  model.net.hidden_sizes: [[4], [6]]
seeds: 1
"""


@pytest.mark.slow
def test_a_study_goes_on_in_the_precision_it_has(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine, whose default is another one, it neither trains all over nor pools two."""
    monkeypatch.delenv("CNNKIT_PRECISION")
    Path("s").mkdir()
    Path("s/study.yaml").write_text(STUDY.format(config=Path(__file__).parents[3] / "configs" / "quickstart.yaml"))

    def machine(precision: str) -> None:
        for place in ("cnnkit.cli.fit.trainer_values", "cnnkit.cli.commands.study.variants"):
            monkeypatch.setattr(f"{place}.default_precision", lambda *_: PrecisionChoice(precision, "so"))

    machine("32-true")
    first = cli("study", "s", "--limit", "1")
    assert first.code == 0, first.err
    assert "precision of all runs: 32-true (so)" in first.out
    machine("bf16-mixed")
    second = cli("study", "s")
    assert second.code == 0, second.err
    assert "1 of them to do" in second.out
    runs = [RunFolder(file.parent) for file in sorted(Path("runs").rglob("config.yaml"))]
    assert [run.manifest()["precision"]["value"] for run in runs] == ["32-true", "32-true"]
    runs[0].update_manifest(precision={"value": "bf16-mixed"})
    refused = cli("study", "s")
    assert refused.code == 2
    assert "different precisions (1 in 32-true, 1 in bf16-mixed)" in refused.err
