"""A search on the sample, and what is refused."""

from pathlib import Path

import pytest
from small_runs import Cli

from cnnkit.errors import UserError
from cnnkit.study.plan import read_plan
from cnnkit.study.results import read_rows
from cnnkit.study.search import check_search

optuna = pytest.importorskip("optuna", reason="needs the extra: pip install 'cnnkit[search]'")
QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
SEARCH = f"""
question: Which rate?
config: {QUICKSTART}
overrides:
  trainer.max_epochs: 2
  trainer.limit_train_batches: 2
  trainer.precision: 32-true
  data.batch_size: 32
  model.net: MLP
factors:
  model.net.hidden_sizes: [[4], [8]]
search:
  trials: 3
  ranges: {{model.optimizer.lr: {{low: 1.0e-4, high: 1.0e-1, log: true}}}}
"""


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped_and_never_tests(cli: Cli) -> None:
    Path("rate").mkdir()
    Path("rate/study.yaml").write_text(SEARCH)
    first = cli("study", "rate", "--limit", "2")
    assert first.code == 0, first.err
    ended = cli("study", "rate")
    assert ended.code == 0, ended.err
    assert "3 trials, 1 of them to do" in ended.out
    rows = read_rows(Path("runs/rate/search.csv"))
    assert [row["state"] in ("complete", "pruned") for row in rows] == [True] * 3
    rates = [float(row["model.optimizer.lr"]) for row in rows]
    assert len(set(rates)) == 3
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    scores = [float(row["val/acc"]) for row in rows if row["val/acc"]]
    assert f"val/acc {max(scores):.4g}" in ended.out.splitlines()[-2]
    assert not list(Path("runs").rglob("test_predictions.*"))


def test_a_bad_trial_is_given_up(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda self: True)
    Path("rate").mkdir()
    Path("rate/study.yaml").write_text(SEARCH.replace("trials: 3", "trials: 1"))
    assert "given up at" in cli("study", "rate").out
    (row,) = read_rows(Path("runs/rate/search.csv"))
    assert (row["state"], row["epochs"]) == ("pruned", "1")  # of two


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{trials: 0}", "search.trials is 0"),
        ("{trials: 2, metric: test/acc}", "not honest"),
        ("{trials: 2, ranges: {a: {low: 2, high: 1}}}", "search.ranges.a"),
        ("{trials: 2, pruner: axe}", "there are median"),
        ("{trails: 2}", "did you mean trials"),
    ],
)
def test_a_search_that_cannot_be_is_refused(tmp_path: Path, search: str, said: str) -> None:
    (tmp_path / "study.yaml").write_text(f"question: Q\nconfig: {QUICKSTART}\nsearch: {search}\n")
    with pytest.raises(UserError, match=said):
        check_search(read_plan(tmp_path))
