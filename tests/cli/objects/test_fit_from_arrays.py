"""cnnkit.fit of arrays in memory: what finds them again, and what ends with a line without them."""

from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit import CNN, ClassificationTask, TrainedRun, from_arrays
from cnnkit.cli import main
from cnnkit.data.tables import held
from cnnkit.errors import UserError

FEW: dict[str, Any] = {
    "trainer.limit_train_batches": 2,
    "trainer.max_epochs": 1,
    "trainer.enable_progress_bar": False,
    "trainer.precision": "32-true",
    "watch": None,
}


def make_data(**options: Any) -> Any:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 16, 16), dtype=np.uint8), rng.integers(0, 2, 120)
    return from_arrays(images, np.array(["cat", "dog"])[labels], **{"batch_size": 16, "val_size": 0.2, **options})


def test_arrays_train_and_are_found_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (16, 16), 90).save("x.png")
    data = make_data()
    run: Any = cnnkit.fit(task=ClassificationTask(CNN(**data.shape, channels=(4, 8))), data=data, **FEW)
    del data
    scores = run.test()  # the run keeps the arrays
    assert 0 <= scores["test/acc"] <= 1
    path = run.path
    monkeypatch.setattr(held, "_HELD", WeakSet())  # as in another process
    capsys.readouterr()
    for words in (["test", "--run", str(path)], ["fit", "--resume", str(path), "--trainer.max_epochs", "2"]):
        assert main(words) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert "NumPy arrays in memory" in lines[0]
        assert "cnnkit.from_arrays" in lines[0]
    for words in (["report", "--run", str(path)], ["runs"], ["predict", "--run", str(path), "--images", "x.png"]):
        assert main(words) == 0, words
    assert Path("predictions.csv").read_text().count("x.png") == 1
    assert len(cnnkit.load(path).predict(np.zeros((16, 16), np.uint8))) == 1
    with pytest.raises(UserError, match="no file has them"):
        TrainedRun(path).test()

    again = make_data(batch_size=8)
    with pytest.raises(UserError, match=r"data.batch_size is 16, but the arrays in memory were made .* with 8"):
        TrainedRun(path).test()
    other = make_data(split_seed=1)  # other parts: a training image of the run could be a test image
    again = make_data()
    assert TrainedRun(path).test() == scores
    assert cnnkit.fit(resume=path, **{"trainer.max_epochs": 2}).manifest["epochs"] == 2
    assert other is not again
