"""The configuration in a pack has no place of this machine and no secret, and says what it lacks."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from cnnkit.errors import UserError
from cnnkit.export.pack.configuration import refuse_leaks, write_public_config
from cnnkit.runs import RunFolder

CONFIG = {
    "seed_everything": 3,
    "weights": "runs/other",
    "trainer": {
        "max_epochs": 2,
        "default_root_dir": None,
        "logger": [{"class_path": "lightning.pytorch.loggers.MLFlowLogger", "init_args": {"tracking_uri": "x"}}],
        "callbacks": [{"class_path": "my.Callback", "init_args": {"file": "/home/me/list.txt", "every": 2}}],
    },
    "model": {
        "class_path": "cnnkit.ClassificationTask",
        "init_args": {
            "net": {"class_path": "my_net.Net", "init_args": {"width": 4, "table": "~/nets.csv", "act": "a/b"}},
            "api_key": "abc",
        },
    },
    "data": {
        "class_path": "cnnkit.ImageFolder",
        "init_args": {
            "root": "photos",
            "batch_size": 8,
            "data_dir": "/data",
            "mirror": None,
            "source": "s3://bucket/x",
            "share": "C:\\images",
            "up": "../there",
            "note": "see file=/etc/x",
            "ratio": "1/2, a:b",
        },
    },
}
KEYS = {
    *("weights", "trainer.logger", "trainer.callbacks.0.file", "model.net.table", "model.api_key", "data.root"),
    *("data.data_dir", "data.source", "data.share", "data.up", "data.note"),
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (tmp_path / "config.yaml").write_text("# cnnkit fit --config /home/me/c.yaml\n" + yaml.safe_dump(CONFIG))
    return RunFolder(tmp_path)


def test_places_and_secrets_are_left_out_and_named(run: RunFolder) -> None:
    text, left_out = write_public_config(run)
    assert set(left_out) == KEYS
    assert all(key in text.splitlines()[1] for key in KEYS)
    for word in ("/home", "abc", "bucket", "~/", "photos", "images", "/data", "MLFlow", "/etc", "runs/other"):
        assert word not in text


def test_all_else_stays(run: RunFolder) -> None:
    values = yaml.safe_load(write_public_config(run)[0])
    assert values["seed_everything"] == 3
    assert values["model"]["class_path"] == "cnnkit.ClassificationTask"
    assert values["model"]["init_args"]["net"]["init_args"] == {"width": 4, "table": None, "act": "a/b"}
    assert values["trainer"]["callbacks"][0]["init_args"] == {"file": None, "every": 2}
    assert values["data"]["init_args"]["batch_size"] == 8
    assert values["data"]["init_args"]["ratio"] == "1/2, a:b"


@pytest.mark.parametrize("value", ["/home/me/a.pth", "C:\\\\nets\\\\a.pth", 'https://me:"pass"@host/é'])
def test_a_model_file_that_holds_what_was_left_out_is_refused(tmp_path: Path, value: str) -> None:
    description = json.dumps({"net": {"init_args": {"weights": value}}})
    save_file({"a": np.zeros(1)}, tmp_path / "model.safetensors", {"cnnkit": description})
    with pytest.raises(UserError, match=r"model.safetensors: would contain the value of model.net.weights"):
        refuse_leaks(tmp_path, {"data.root": "photos", "model.net.weights": value})


def test_ordinary_words_are_no_leak(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("photos of a /data set")
    refuse_leaks(tmp_path, {"data.root": "photos", "data.data_dir": "/", "trainer.logger": [{"a": 1}]})
    with pytest.raises(UserError, match=r"model\.token"):
        refuse_leaks(tmp_path, {"model.token": "photos"})
