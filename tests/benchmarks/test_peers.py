import numpy as np
import pytest
import torch

import benchmarks.peers as peers
from benchmarks.__main__ import main
from benchmarks.peers.plain import PictureDataset, make_net
from benchmarks.peers.watch import Job, Watch
from cnnkit.models import CNN


def test_the_peers_net_is_cnnkits():
    ours, theirs = CNN(), make_net()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(theirs(images), ours(images))
    assert sum(weights.numel() for weights in theirs.parameters()) == 716_706


def test_the_clock_has_the_accuracy_at_equal_time_and_at_equal_epochs(monkeypatch):
    now = iter([0.0, 4.0, 10.0, 12.0, 20.0, 30.0, 32.0])
    monkeypatch.setattr("benchmarks.peers.watch.time.time", lambda: next(now))
    watch = Watch(Job("", epochs=1, seconds=15, bf16=False, quick=False), began=0.0)
    stops = []
    for share in (0.5, 0.75):
        watch.begin_epoch()
        watch.step(100)
        watch.end_epoch()
        stops.append(watch.validated(share))
    figures = watch.report()
    assert stops == [False, True]
    assert (figures["first_step"], figures["rate"]) == (4.0, 10.0)
    assert (figures["equal_time"], figures["equal_epochs"], figures["epochs_in_time"]) == (50.0, 50.0, 1)


def test_the_peers_train_and_validate_on_cnnkits_split(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.common.REAL_DATA", False)
    peers.write_arrays(tmp_path, quick=True)
    data = peers.fashion_mnist()
    data.setup()
    image, label = PictureDataset(str(tmp_path), "val")[7]
    index = data.val_indices[7]
    assert label == data.store.train_labels[index]
    assert (np.asarray(image) == data.store.train_images[index, 0].numpy()).all()


@pytest.mark.slow
def test_the_peers_benchmark_trains_every_side_that_needs_no_installation(monkeypatch, capsys):
    monkeypatch.delenv("CNNKIT_DATA_DIR", raising=False)
    monkeypatch.setattr("benchmarks.common.REAL_DATA", False)
    tables = main(["peers", "--quick", "--rounds", "1"])
    assert [len(table.rows) for table in tables] == [7] * len(peers.FIGURES)
    assert all(figure > 0 for table in tables[:4] for figures in table.rows.values() for figure in figures)
    assert "cnnkit, float32 / best other" in capsys.readouterr().out


@pytest.mark.slow
def test_the_growth_benchmark_has_a_row_for_every_size(capsys):
    tables = main(["growth", "--quick", "--rounds", "1"])
    assert [len(table.rows) for table in tables] == [2] * 5
    assert all(figures[0] > 0 for table in tables for figures in table.rows.values())
    assert "3,000 images, 10 classes, 1 threads" in capsys.readouterr().out
