from pathlib import Path

import pytest
from small_runs import Cli

from cnnkit.study.results import read_rows

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
STUDY = f"""
question: Does a cluster of two workers come to the same?
config: {QUICKSTART}
overrides:
  trainer.max_epochs: 1
  trainer.limit_train_batches: 2
  trainer.precision: 32-true
  data.batch_size: 32
  model.net: MLP
factors:
  model.net.hidden_sizes: [[4], [8]]
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_local_cluster_of_two_workers_comes_to_the_same(cli: Cli) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra: pip install 'cnnkit[ray]'")
    for name, more in (("here", ""), ("there", "engine: ray\n")):
        Path(name).mkdir()
        Path(name, "study.yaml").write_text(STUDY + more)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        ended = cli("study", "there")
    finally:
        ray.shutdown()
    assert ended.code == 0, ended.err
    assert cli("study", "here").code == 0
    scores = [[float(row["test/acc"]) for row in read_rows(Path(name, "results.csv"))] for name in ("here", "there")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
