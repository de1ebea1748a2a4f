"""What a run writes for TensorBoard, read by TensorBoard's own reader."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SHORT, SMALL, SMALL_NET, WATCHED, Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from cnnkit.runs import RunFolder, find

CLASSES = ("ant", "bee", "cat")
ONCE = ("train/augmented", "maps/image")
STAGES = ("maps/features.0", "maps/features.3")


def read(run: RunFolder) -> EventAccumulator:
    return EventAccumulator(str(run.path), {"images": 0, "tensors": 0, "scalars": 0, "histograms": 0}).Reload()


def steps(events: EventAccumulator) -> dict[str, list[int]]:
    """The steps of everything that was written, by its tag."""
    found: dict[str, list[int]] = {}
    for kind, get in {"scalars": events.Scalars, "images": events.Images, "tensors": events.Tensors}.items():
        found |= {tag: [event.step for event in get(tag)] for tag in events.Tags()[kind]}
    del found["epoch"]  # Lightning's own, written with the training's and with the validation's means
    return found


def layout(events: EventAccumulator) -> dict[str, list[str]]:
    (event,) = events.Tensors("custom_scalars__config__")
    found = Layout.FromString(event.tensor_proto.string_val[0])
    return {f"{c.title}: {chart.title}": list(chart.multiline.tag) for c in found.category for chart in c.chart}


@pytest.fixture
def photos(tmp_path: Path) -> str:
    """A folder of RGB images in three classes."""
    noise = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(40):
            pixels = noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    return str(tmp_path / "photos")


def test_a_run_on_gray_images_shows_all_that_it_knows(trained_once: RunFolder) -> None:
    events = read(trained_once)
    found = steps(events)
    names = ["T-shirt/top", "Trouser", "Ankle boot"]
    after_each = [*STAGES, "val/confusion", "val/reliability", "val/mistakes", "net/kernels", "val/ece"]
    after_each += [f"{kind}/{name}" for kind in ("pr", "val/acc_class") for name in names]
    after_each += ["dead/features.2", "dead/features.5", "memory/peak_mb", "images_per_second"]
    assert {tag: found.get(tag) for tag in after_each} == {tag: [2, 5] for tag in after_each}
    assert {tag: len(found[tag]) for tag in ONCE} == dict.fromkeys(ONCE, 1)
    for kind in ("gradients", "weights", "ratio"):
        layers = [tag.removeprefix(f"{kind}/") for tag in found if tag.startswith(f"{kind}/")]
        assert layers == ["features.0", "features.3", "head.2", "head.5"]
        assert found[f"{kind}/features.0"] == [0, 2, 5]
    charts = layout(events)
    assert charts["training: loss"] == ["^train/loss$", "^val/loss$"]
    assert "auxiliary heads: loss" not in charts
    assert not events.Tags()["histograms"]  # only when asked for

    folder = trained_once.path / "projector"
    vectors = np.loadtxt(folder / "vectors.tsv")
    assert vectors.shape == (500, 16)
    labels = (folder / "labels.tsv").read_text().splitlines()
    assert len(labels) == 500
    assert "Ankle boot" in labels
    assert Image.open(folder / "sprite.png").size == (23 * 28, 23 * 28)


def test_every_chart_of_the_layout_has_lines(trained_once: RunFolder) -> None:
    events = read(trained_once)
    tags = events.Tags()["scalars"]
    empty = [
        chart for chart, patterns in layout(events).items() if not any(re.search(p, t) for p in patterns for t in tags)
    ]
    assert empty == []


def test_a_run_with_heads_on_rgb_images_shows_them_too(cli: Cli, photos: str) -> None:
    task = ["--model=AuxiliaryLossTask", "--model.after=[features.2]", *SMALL_NET, *SHORT]
    data = ["--data=ImageFolder", f"--data.root={photos}", "--data.image_size=16", "--data.data_dir=d"]
    ended = cli("fit", *task, *data, "--watch.histograms=true")
    assert ended.code == 0, ended.err
    events = read(find("runs"))
    found, charts = steps(events), layout(events)
    assert {"val/confusion", "val/mistakes", *ONCE, *STAGES, "dead/features.2"} <= found.keys()
    assert {f"{kind}/{name}" for kind in ("pr", "val/acc_class") for name in CLASSES} <= found.keys()
    assert charts["auxiliary heads: loss"] == ["^train/loss_main$", "^train/loss_aux/"]
    assert {"train/loss_aux/features.2", "train/acc_aux/features.2"} <= found.keys()
    assert any(tag.startswith("gradients/heads.") for tag in found)
    histograms = set(events.Tags()["histograms"])
    assert {"histograms/weights/features.0", "histograms/gradients/features.0"} <= histograms
    assert not histograms & found.keys()  # of two kinds of data with one name TensorBoard shows one
    kernels = Image.open(io.BytesIO(events.Images("net/kernels")[0].encoded_image_string))
    assert kernels.mode == "RGB"
    assert any(r != g for r, g, _ in kernels.getdata())  # in color


def test_a_head_that_trains_on_embeddings_is_shown_with_the_images_behind_them(
    cli: Cli,
) -> None:
    task = ["--model=TransferTask", "--model.net=CNN", "--model.net.global_pool=true", "--model.mode=embeddings"]
    words = ["--data.data_dir=d", "--data.train_fraction=0.1", "--data.val_size=200", "--data.batch_size=32"]
    ended = cli("fit", *task, *SMALL_NET[:1], *SHORT, *words)
    assert ended.code == 0, ended.err
    found = steps(read(find("runs")))
    assert {
        "val/confusion",
        "val/reliability",
        "val/mistakes",
        "pr/Coat",
        "net/kernels",
        "maps/features.0",
    } <= found.keys()
    assert np.loadtxt(find("runs").path / "projector" / "vectors.tsv").shape[0] == 200


def test_a_resumed_run_writes_nothing_twice_and_leaves_nothing_out(cli: Cli, trained_once: RunFolder) -> None:
    Path("leaving.py").write_text(
        "import os, signal\nfrom lightning.pytorch.callbacks import Callback\n"
        "class Stop(Callback):\n"
        "    def on_train_batch_end(self, trainer, *args):\n"
        "        if trainer.global_step == 4: os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    spec = json.dumps([{"class_path": "leaving.Stop"}])
    words = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", f"--trainer.callbacks={spec}"]
    assert cli("fit", *SMALL, WATCHED, *words).code == 143
    run = find("runs")
    assert cli("fit", "--resume", str(run)).code == 0
    resumed = steps(read(run))
    assert resumed == steps(read(trained_once))
    assert not [tag for tag, at in resumed.items() if max(Counter(at).values()) > 1]
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (run.path / "projector").iterdir())
    assert cli("fit", "--resume", str(run)).code == 0  # finished already
    assert steps(read(run)) == resumed
    assert sorted((p.name, p.stat().st_mtime_ns) for p in (run.path / "projector").iterdir()) == before


def test_parts_are_switched_off_one_by_one_and_all_at_once(fit: Callable[..., RunFolder]) -> None:
    off = ["norms", "relus", "confusion", "reliability", "pr_curves", "mistakes", "kernels", "embeddings", "memory"]
    run = fit("--watch={}", *(f"--watch.{part}=false" for part in off))
    found = steps(read(run))
    assert {"maps/image", "train/augmented", "custom_scalars__config__"} <= found.keys()
    gone = ("gradients/", "dead/", "val/c", "val/acc_class/", "val/ece", "pr/", "val/mistakes", "net/", "memory/")
    assert not [tag for tag in found if tag.startswith(gone)]
    assert not (run.path / "projector").exists()
    bare = read(fit("--name=bare"))  # --watch=null
    assert {tag.split("/")[0] for tag in steps(bare)} == {"train", "val", "hp", "images_per_second"}
    assert not bare.Tags()["images"]


def test_a_callback_of_ones_own_takes_the_place_of_ours(fit: Callable[..., RunFolder]) -> None:
    run = fit(WATCHED, "--trainer.callbacks+=Projector", "--trainer.callbacks.images=7")
    assert np.loadtxt(run.path / "projector" / "vectors.tsv").shape[0] == 7


def test_a_wrong_part_is_named(cli: Cli) -> None:
    ended = cli("fit", "--watch.mops=false")
    assert ended.code == 2
    assert "did you mean maps?" in ended.err


def test_watching_changes_no_weights(trained_once: RunFolder, fit: Callable[..., RunFolder]) -> None:
    bare = fit("--trainer.max_epochs=2")
    one, other = (torch.load(run.last, weights_only=True)["state_dict"] for run in (trained_once, bare))
    assert all(torch.equal(one[key], other[key]) for key in one)
