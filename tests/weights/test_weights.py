"""Weights from files: what comes back by which name, and that nothing else is read."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cnnkit.errors import UserError
from cnnkit.models import CNN
from cnnkit.weights import pretrained_skipped, read_weights, skip_pretrained

TENSORS = {"conv.weight": torch.arange(3000.0), "conv.bias": torch.ones(3)}


def save(value, path, **options):
    torch.save(value, path, **options)
    return path


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_every_kind_of_file_gives_the_same_tensors(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    save(TENSORS, tmp_path / "b.pth")
    save(TENSORS, tmp_path / "c.pt", _use_new_zipfile_serialization=False)  # as before torch 1.6
    save({"state_dict": TENSORS, "epoch": 3}, tmp_path / "d.ckpt")
    save({"state_dict": {f"net.{name}": value for name, value in TENSORS.items()}}, tmp_path / "e.ckpt")
    for file in sorted(tmp_path.iterdir()):
        assert_same(read_weights(file), TENSORS)


def test_names_of_a_plain_file_are_left_as_they_are(tmp_path):
    named = {f"net.{name}": value for name, value in TENSORS.items()}
    assert_same(read_weights(save(named, tmp_path / "a.pth")), named)


def test_a_run_gives_the_weights_of_its_best_checkpoint_under_the_nets_names(trained_once, monkeypatch):
    saved = torch.load(trained_once.best, weights_only=True)["state_dict"]
    found = read_weights(trained_once.path)
    CNN(1, 10, 28, channels=(4, 8), hidden_sizes=(16,), dropout=0.2).load_state_dict(found)
    assert_same({f"net.{name}": value for name, value in found.items()}, saved)
    assert_same(read_weights(trained_once.path.parents[1]), found)
    assert_same(read_weights(trained_once.best), found)
    monkeypatch.chdir(trained_once.path.parents[2])
    assert_same(read_weights(trained_once.path.parent.name), found)  # as --run takes it


class Payload:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_in_a_file_is_run(tmp_path, zipped, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # torch's way to switch its own guard off
    file = save({"a": Payload(tmp_path / "ran")}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="holds other things than tensors"):
        read_weights(file)
    assert not (tmp_path / "ran").exists()


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "cut": lambda file: os.truncate(file, file.stat().st_size - 500),
    "bit": flip_a_bit,
    "empty": lambda file: os.truncate(file, 0),
    "text": lambda file: file.write_text("this is no file of weights"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_is_noticed(tmp_path, how):
    file = save(TENSORS, tmp_path / "a.pth")
    DAMAGE[how](file)
    with pytest.raises(UserError, match=r"a\.pth: damaged, or no file of weights"):
        read_weights(file)


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
def test_damage_of_safetensors_is_noticed(tmp_path, how):
    file = tmp_path / "a.safetensors"
    save_file(TENSORS, file)
    DAMAGE[how](file)
    with pytest.raises(UserError, match=r"a\.safetensors: damaged"):
        read_weights(file)


@pytest.mark.parametrize(
    "value", [torch.ones(3), {}, {"a": torch.ones(3), "epoch": 3}, [torch.ones(3)], {"state_dict": 3}], ids=repr
)
def test_what_is_no_dict_of_tensors_is_refused(tmp_path, value):
    with pytest.raises(UserError, match="tensors by name"):
        read_weights(save(value, tmp_path / "a.pth"))


def test_a_pickled_net_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds other things than tensors"):
        read_weights(save(nn.Linear(2, 2), tmp_path / "a.pth"))


@pytest.mark.parametrize("address", ["https://example.org/a.safetensors", "s3://bucket/a.pth"])
def test_addresses_are_refused(address):
    with pytest.raises(UserError, match="local files only"):
        read_weights(address)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pth: no such file"):
        read_weights(Path("nowhere.pth"))
    with pytest.raises(UserError, match="not a run folder"):
        read_weights(tmp_path)


def test_pretrained_weights_are_skipped_inside_alone():
    assert not pretrained_skipped()
    with skip_pretrained():
        with skip_pretrained(False):
            assert not pretrained_skipped()
        assert pretrained_skipped()
    assert not pretrained_skipped()
