"""Every net of cnnkit as ONNX and as torch's graph, by the benchmark that makes the table of docs/export.md."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import cnnkit.models
from benchmarks import parity
from cnnkit import FashionMNISTSample
from cnnkit.export.deployed import quiet
from cnnkit.export.proof import TOLERANCE
from cnnkit.layers.pool import SumPool2d


def test_the_benchmark_has_every_net_of_cnnkit_and_ten_of_timm():
    assert {name for name, _ in parity.NETS} == set(cnnkit.models.__all__)
    assert len(set(parity.TIMM)) == 10


def test_a_sum_over_windows_is_a_sum_in_onnx(tmp_path):
    images = torch.arange(72.0).reshape(1, 2, 6, 6)
    with quiet():
        torch.onnx.export(SumPool2d(3), (images,), dynamo=True, verbose=False).save(tmp_path / "sum.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "sum.onnx", providers=["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    expected = images.numpy().reshape(1, 2, 2, 3, 2, 3).sum((3, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # the exporter drops torch's divisor_override in silence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), parity.NETS, ids=lambda value: value if isinstance(value, str) else str(sorted(value.items()))
)
def test_files_agree_with_eager(name: str, options: dict[str, Any]) -> None:
    data = FashionMNISTSample()
    data.setup()
    found = parity.compare_net(name, options, data, count=40, steps=2)
    largest, others = ([found[place] for place in places] for places in ((1, 3), (2, 4)))
    assert all(float(each) <= TOLERANCE for each in largest), found
    assert others == ["0", "0"]
