"""What goes into a file: the whole prediction of the task, and nothing that only training needs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cnnkit import CNN, ClassificationTask
from cnnkit.errors import UserError
from cnnkit.export.alone import _Absent
from cnnkit.export.deployed import DeployedNet, trace
from cnnkit.export.description import ModelDescription, describe, read_description
from cnnkit.export.proof import compare
from cnnkit.export.safetensors_file import open_safetensors, write_safetensors
from cnnkit.export.subject import Subject
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.layers import AuxiliaryHead
from cnnkit.tasks.correction import Correction

NAMES = ["a", "b", "c"]
DATA = Preprocessing(NAMES, 3, [12, 10], [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], "crop")


def make_net() -> CNN:
    torch.manual_seed(0)
    net = CNN(3, 3, (12, 10), channels=(4,), hidden_sizes=(), norm="batch", dropout=0.5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(4)
    return net.eval()


@pytest.fixture
def pixels() -> Tensor:
    return torch.randint(0, 256, (5, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def prepare(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(row).view(3, 1, 1) for row in (DATA.mean, DATA.std))
    return (pixels.float() / 255 - mean) / std


def test_views_adjustment_and_temperature_are_inside(pixels: Tensor) -> None:
    net, correction = make_net(), Correction(0.7)
    correction.class_counts = [7, 2, 1]
    flipped = prepare(pixels).flip(3)
    with torch.inference_mode():
        logits = (net(prepare(pixels)) + net(flipped)) / 2
        adjusted = logits - 0.7 * torch.tensor([0.7, 0.2, 0.1]).log()
        found = DeployedNet(TrainedNet(net, "flip", correction=correction), DATA)(pixels)
        torch.testing.assert_close(found, adjusted.softmax(1))
        correction.tau, correction.temperatures = 0.0, {"flip": 2.5, "none": 9.0}
        found = DeployedNet(TrainedNet(net, "flip", correction=correction), DATA)(pixels)
        torch.testing.assert_close(found, (logits / 2.5).softmax(1))
        several = TrainedNet(net, thresholds=torch.full((3,), 0.4))
        torch.testing.assert_close(DeployedNet(several, DATA)(pixels), net(prepare(pixels)).sigmoid())


class Doubtful(ClassificationTask):
    """A task that predicts otherwise than its net."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return (super().predict_step(batch, batch_idx) + 1) / 4


def make_subject(classifier: Any, tmp_path: Path, spec: dict[str, Any] | None = None) -> Subject:
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"")
    content = {"hyper_parameters": {"net": spec} if spec else {}, "epoch": 0, "global_step": 1}
    return Subject(classifier, DATA, content, checkpoint, None, [])


def test_a_task_that_predicts_otherwise_is_exported_as_it_predicts(pixels: Tensor, tmp_path: Path) -> None:
    task = Doubtful(make_net()).eval()
    with torch.no_grad():
        found = trace(DeployedNet(task, DATA)).module()(pixels[:3])
        torch.testing.assert_close(found, (task.net(prepare(pixels[:3])).softmax(1) + 1) / 4)
    subject = make_subject(task, tmp_path, {"class_path": "cnnkit.CNN"})
    described = describe(task, DATA, subject.content, subject.path, None)
    with pytest.raises(UserError, match="weights alone do not say what Doubtful does with its net; choose --format"):
        write_safetensors(subject, described, tmp_path / "a.safetensors")


class Branching(nn.Module):
    """A net whose path depends on the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * (2 if images.sum() > 0 else 3)


def test_what_no_graph_can_hold_is_two_lines_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UserError, match=r"^Branching cannot be exported as a graph, .*\n`cnnkit export --format safetensors"
    ) as raised:
        trace(DeployedNet(TrainedNet(Branching()), DATA))
    assert len(str(raised.value).splitlines()) == 2
    assert capfd.readouterr() == ("", "")


class NumpyTask(ClassificationTask):
    """A task that leaves torch."""

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return torch.from_numpy(super().predict_step(batch, batch_idx).numpy())


def test_a_task_that_fits_no_format_is_not_sent_to_another_one() -> None:
    with pytest.raises(UserError, match=r"^CNN of NumpyTask cannot be exported.*[^.];\ncompute with tensors alone"):
        trace(DeployedNet(NumpyTask(make_net()).eval(), DATA))


class Headed(nn.Module):
    """A net with a head for training, and weights that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.aux, self.spare = make_net(), AuxiliaryHead(4, 3), nn.Parameter(torch.ones(3))
        self.tied = self.net.get_submodule("features.0")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits


def test_heads_for_training_are_left_out(pixels: Tensor) -> None:
    net = Headed().eval()
    before = set(net.state_dict())
    program = trace(DeployedNet(TrainedNet(net), DATA))
    assert not [name for name in program.state_dict if "aux" in name or "spare" in name or "num_batches" in name]
    assert set(net.state_dict()) == before
    with torch.no_grad():
        torch.testing.assert_close(program.module()(pixels), net(prepare(pixels)).softmax(1))


def test_weights_leave_out_heads_and_folders(tmp_path: Path) -> None:
    from cnnkit import GoogLeNet

    torch.manual_seed(0)
    net = GoogLeNet(3, 3, (12, 10)).eval()
    spec = {"class_path": "cnnkit.GoogLeNet", "init_args": {"in_channels": 3, "num_classes": 3, "image_size": [12, 10]}}
    subject = make_subject(TrainedNet(net, "flip"), tmp_path, spec)
    described = describe(subject.classifier, DATA, subject.content, subject.path, None)
    write_safetensors(subject, described, tmp_path / "a.safetensors")
    assert {name.partition(".")[0] for name in load_file(tmp_path / "a.safetensors")} == {
        *("stem", "stage1", "stage2", "stage3", "classifier")
    }
    found, _ = open_safetensors(tmp_path / "a.safetensors")
    images = torch.randn(2, 3, 12, 10)
    with torch.no_grad():
        assert torch.equal(found.predict_step(images), subject.classifier.predict_step(images))
    spec["init_args"]["weights"] = "/home/someone/secret/net.pth"  # type: ignore[index]
    write_safetensors(subject, described, tmp_path / "b.safetensors")
    assert b"net.pth" in (content := (tmp_path / "b.safetensors").read_bytes())
    assert b"someone" not in content


def test_classes_of_ones_own_need_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_exported_net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n"
        "    def __init__(self, classes: int = 3) -> None:\n        super().__init__(10, classes)\n"
    )
    import my_exported_net  # type: ignore[import-not-found]

    subject = make_subject(
        TrainedNet(my_exported_net.Net()), tmp_path, {"class_path": "my_exported_net.Net", "init_args": {"classes": 3}}
    )
    described = describe(subject.classifier, DATA, subject.content, subject.path, None)
    file, config = tmp_path / "a.safetensors", tmp_path / "config.yaml"
    write_safetensors(subject, described, file)
    with pytest.raises(UserError, match=r"needs my_exported_net.Net, which is neither.*\(--config FILE\)"):
        open_safetensors(file)
    config.write_text("model: {net: {class_path: my_exported_net.Net}}\n")
    found, _ = open_safetensors(file, [config])
    assert torch.equal(found.net.weight, subject.classifier.net.weight)  # type: ignore[arg-type]


def test_the_description_comes_back(tmp_path: Path) -> None:
    net = TrainedNet(make_net(), "flip_shift", torch.tensor([0.25, 0.5, 0.75]))
    net.correction.temperatures = {"flip_shift": 1.5}
    subject = make_subject(net, tmp_path)
    written = describe(net, DATA, subject.content, subject.path, None)
    read = read_description(written.to_json(), tmp_path / "a.onnx")
    assert read == written
    assert isinstance(read, ModelDescription)
    assert read.preprocessing == DATA
    assert read.thresholds == [0.25, 0.5, 0.75]
    assert read.correction.find_temperature("flip_shift") == 1.5


def test_agreement_counts_classes_but_not_ties() -> None:
    net = np.array([[0.6, 0.4], [0.50004, 0.49996], [0.2, 0.8]], np.float32)
    same = compare(net, net, 1e-4)
    assert (same.holds, same.images, same.differing_classes, same.largest_difference) == (True, 3, 0, 0)
    tied = net.copy()
    tied[1] = tied[1, ::-1]
    assert compare(net, tied, 1e-4).holds
    swapped = compare(net, net[:, ::-1], 1e-4)
    assert (swapped.differing_classes, swapped.holds) == (2, False)
    near = net.copy()
    near[0, 0] += 2e-4
    assert (compare(net, near, 1e-4).differing_classes, compare(net, near, 1e-4).holds) == (0, False)
    near[0, 0] = np.nan
    assert not compare(net, near, 1e-4).holds
    with pytest.raises(UserError, match="shape"):
        compare(net, net[:, :1], 1e-4)


def test_agreement_of_several_labels_looks_at_thresholds() -> None:
    thresholds = np.array([0.5, 0.3])
    net = np.array([[0.6, 0.4], [0.50003, 0.1]])
    assert compare(net, np.array([[0.6, 0.4], [0.49998, 0.1]]), 1e-4, thresholds).holds
    assert compare(net, np.array([[0.6, 0.2], [0.6, 0.1]]), 0.05, thresholds).differing_classes == 1


def test_where_a_graph_runs_alone_there_is_no_cnnkit() -> None:
    for name in ("cnnkit", "cnnkit.models"):
        with pytest.raises(ModuleNotFoundError):
            _Absent().find_spec(name)
    assert _Absent().find_spec("cnnkitten") is None  # type: ignore[func-returns-value]
