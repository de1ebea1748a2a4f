"""experiments/learn_edge_kernel: it learns the kernel, and its README shows what it prints."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from cnnkit.classroom.convolution import corr2d

FOLDER = Path(__file__).parents[2] / "experiments" / "learn_edge_kernel"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("learn_edge_kernel", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ten_steps_recover_the_kernel_from_any_start(script: ModuleType) -> None:
    # The loss is a quadratic whose curvature is 60 along (1, 1) and 12 along (1, -1): at rate 0.03 ten steps leave
    # 0.8^10 = 11 % and 0.64^10 = 1 % of the error, at most 0.0875 in a weight from a start within +-1/sqrt(2).
    for seed in range(30):
        first, *_, last = script.learn(seed)
        assert max(map(abs, first.kernel)) <= 2**-0.5
        assert last.kernel == pytest.approx((1, -1), abs=0.0875)
        error, before = torch.tensor([last.kernel, first.kernel]) - script.EDGE
        assert error.sum().item() == pytest.approx(0.8**10 * before.sum().item(), abs=1e-5)
        assert error.diff().item() == pytest.approx(0.64**10 * before.diff().item(), abs=1e-5)


def test_each_step_is_one_of_torchs_gradient_descent(script: ModuleType) -> None:
    first, second, *_ = script.learn(seed=3, rate=0.01)
    kernel = torch.tensor([first.kernel], requires_grad=True)
    image = script.make_image()
    loss = (corr2d(image, kernel) - corr2d(image, script.EDGE)).square().sum()
    loss.backward()
    torch.optim.SGD([kernel], lr=0.01).step()
    assert first.loss == pytest.approx(loss.item())
    assert second.kernel == pytest.approx(kernel.flatten().tolist())


def test_the_readme_shows_what_the_script_prints(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(["-o", str(tmp_path / "learned.png")])
    printed = capsys.readouterr().out.strip()
    assert len(printed.splitlines()) == 2 + 11
    assert f"\n\n{printed}\n\n" in (FOLDER / "README.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "learned.png") as new, Image.open(FOLDER / "learned.png") as kept:
        assert new.size == pytest.approx(kept.size, abs=1)  # releases of Matplotlib round differently
