"""Exported files that are damaged, foreign, newer or hostile: one sentence each, and no code of theirs runs."""

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import Cli
from torch import nn

import cnnkit
from cnnkit.errors import UserError
from cnnkit.export import SUFFIXES
from cnnkit.export.loading import open_exported

Change = Callable[[dict[str, bytes]], None]


def refused(file: Path, *texts: str) -> None:
    with pytest.raises(UserError) as raised:
        cnnkit.load(file)
    message = str(raised.value)
    assert message.startswith(f"{file}: ")
    assert len(message.splitlines()) <= 2
    assert "Traceback" not in message
    for text in texts:
        assert text in message


def describe_again(exported: Path, suffix: str, file: Path, **changes: Any) -> None:
    """Write a copy of an exported file whose description has other values; None for no description."""
    original = exported / f"net{suffix}"
    described = open_exported(exported / ("net.safetensors" if suffix == ".safetensors" else "net.onnx")).description
    found = json.loads(described.to_json()) | changes
    text = json.dumps({key: value for key, value in found.items() if value != "left out"})
    if suffix == ".onnx":
        model = onnx.load(original)
        onnx.helper.set_model_props(model, {"cnnkit": text} if changes else {"other": text})
        onnx.save(model, file)
    elif suffix == ".pt2":

        def change(members: dict[str, bytes]) -> None:
            name = find(members, "cnnkit")
            members[name] = text.encode()
            if not changes:
                members["model/extra/other"] = members.pop(name)

        rewrite(original, file, change)
    else:
        save_file(load_file(original), file, {"cnnkit": text} if changes else {"other": text})


def find(members: dict[str, bytes], end: str) -> str:
    [name] = [name for name in members if name.endswith(f"/{end}")]
    return name


def rewrite(original: Path, file: Path, change: Change) -> None:
    """Copy a .pt2 archive with other members."""
    with zipfile.ZipFile(original) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_damage_is_a_sentence(exported: Path, tmp_path: Path, suffix: str) -> None:
    file, whole = tmp_path / f"a{suffix}", (exported / f"net{suffix}").read_bytes()
    refused(file, "no such file")
    for content in (
        b"",
        b"words",
        whole[: len(whole) // 2],
        whole[1000:],
        bytes(1000),
        whole[:40] + bytes(len(whole) - 40),
    ):
        file.write_bytes(content)
        refused(file)
    file.unlink()
    os.mkfifo(file)
    refused(file, "a named pipe, where a file is needed")


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_a_weight_that_was_changed_since_the_check_is_a_sentence(exported: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"net{suffix}"
    content = bytearray((exported / file.name).read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    Path(f"{file}.json").write_bytes((exported / f"{file.name}.json").read_bytes())
    refused(file, f"is not the file that was checked, by its hash in {file.name}.json")
    file.write_bytes((exported / file.name).read_bytes())
    cnnkit.load(file)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_a_foreign_or_newer_file_is_a_sentence(exported: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    describe_again(exported, suffix, file)
    refused(file, "has no description of cnnkit in it; `cnnkit export` writes files that have one")
    describe_again(exported, suffix, file, format=99, cnnkit="9.0")
    refused(file, "written by cnnkit 9.0 in a newer form, 99, than this version")
    damaged: list[dict[str, Any]] = [
        *({"class_names": names} for names in ([], "left out", 3)),
        *({"mean": mean} for mean in ([], [0.1, 0.2, 0.3])),
        *({"image_size": size} for size in (28, [0, 28], ["a", 2])),
        *({"format": version} for version in ("x", None, "left out")),
        *({"resize": "fold"}, {"thresholds": [0.5]}, {"posthoc_tau": -1}, {"std": [0.0]}, {"tta": "all"}),
    ]
    for change in damaged:
        describe_again(exported, suffix, file, **change)
        refused(file)
    describe_again(exported, suffix, file, invented_later=3)
    assert cnnkit.load(file).class_names


def test_files_of_other_programs(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt2")
    refused(tmp_path / "a.pt2")
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), tmp_path / "b.pt2")
    refused(tmp_path / "b.pt2", "has no description of cnnkit")
    save_file({"a": torch.zeros(1)}, tmp_path / "c.safetensors")
    refused(tmp_path / "c.safetensors", "has no description of cnnkit")


def test_weights_in_other_files_are_not_read(exported: Path, tmp_path: Path) -> None:
    """A path in a model may lead anywhere on the machine (CVE-2026-27489)."""
    model = onnx.load(exported / "net.onnx")
    (tmp_path / "secret").write_bytes(np.zeros(64, np.float32).tobytes())
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path / "a.onnx", "keeps weights in other files, which are not read")


class Spy:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def edit_graph(members: dict[str, bytes], change: Callable[[str], str]) -> None:
    name = find(members, "model.json")
    before = members[name].decode()
    members[name] = change(before).encode()
    assert members[name].decode() != before


def test_code_in_a_graph_of_torch_does_not_run(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, place = tmp_path / "a.pt2", tmp_path / "spied"
    original = exported / "net.pt2"
    buffer = io.BytesIO()
    torch.save(((torch.zeros(1), Spy(place)), {}), buffer)

    rewrite(original, file, lambda members: members.update({find(members, "model.pt"): buffer.getvalue()}))
    with suppress(Exception):  # some versions of torch run it, others fail
        torch.export.load(file)
    if place.exists():
        place.rmdir()
    pixels = np.zeros((2, 28, 28, 1), np.uint8)
    found = cnnkit.load(file).predict(pixels).probabilities  # the example inputs are not needed
    assert np.array_equal(found, cnnkit.load(original).predict(pixels).probabilities)
    assert not place.exists()

    call = f"__import__('os').mkdir('{place}')"
    first_size = r'"expr_str": "[^"]*"'

    def pickled(members: dict[str, bytes]) -> None:
        config = json.loads(members[find(members, "model_weights_config.json")])
        entry = next(iter(config["config"].values()))
        entry["use_pickle"] = True
        members[find(members, entry["path_name"])] = pickle.dumps(Spy(place))
        members[find(members, "model_weights_config.json")] = json.dumps(config).encode()

    def guarded(members: dict[str, bytes]) -> None:
        edit_graph(members, lambda text: json.dumps(json.loads(text) | {"guards_code": [call]}))

    def importing(members: dict[str, bytes]) -> None:
        (tmp_path / "my_hostile_module.py").write_text(f"import os\nos.mkdir({str(place)!r})\n")
        graph = json.loads(members[find(members, "model.json")])
        signature = graph["graph_module"]["module_call_graph"][0]["signature"]
        context = json.dumps({"__enum__": True, "fqn": "my_hostile_module:A", "name": "a"})
        signature["out_spec"] = json.dumps([1, {"type": "builtins.dict", "context": context, "children_spec": []}])
        members[find(members, "model.json")] = json.dumps(graph).encode()

    monkeypatch.syspath_prepend(tmp_path)
    changes: dict[str, Change] = {
        "its inputs or outputs are of other classes": importing,
        "is pickled": pickled,
        "it has guards, which are code": guarded,
        "it has the size": lambda m: edit_graph(m, lambda t: re.sub(first_size, f'"expr_str": "{call}"', t, count=1)),
        "it has the operation torch.ops.aten.from_file.default": lambda m: edit_graph(
            m, lambda t: t.replace("torch.ops.aten.softmax.int", "torch.ops.aten.from_file.default")
        ),
        "it has the operation torch.hub.load": lambda m: edit_graph(
            m, lambda t: t.replace("torch.ops.aten.softmax.int", "torch.hub.load")
        ),
        "it has the operation _operator.methodcaller": lambda m: edit_graph(
            m, lambda t: t.replace("torch.ops.aten.softmax.int", "_operator.methodcaller")
        ),
        "it holds data/aotinductor/model/x.so": lambda m: m.update({"net/data/aotinductor/model/x.so": b""}),
        "it holds data/weights/model.pt": lambda m: m.update({"net/data/weights/model.pt": pickle.dumps(Spy(place))}),
    }
    for text, change in changes.items():

        def changed(members: dict[str, bytes], change: Change = change) -> None:
            root = next(iter(members)).partition("/")[0]
            renamed = {name.replace(f"{root}/", "net/", 1): content for name, content in members.items()}
            members.clear()
            members.update(renamed)
            change(members)

        rewrite(original, file, changed)
        refused(file, f"not read, for {text}" if text != "is pickled" else text, "torch might run code of the file")
        assert not place.exists(), text


def test_commands_say_it_in_a_line(cli: Cli, exported: Path) -> None:
    Path("a.onnx").write_text("words")
    Path("photo.txt").write_text("words")
    np.save("a.npy", np.zeros(3))
    for words in (["--model", "a.onnx"], ["--model", "b.onnx"], ["--model", "photo.txt"], ["--model", "."]):
        ended = cli("predict", *words, "--images", "a.npy")
        assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended.err
