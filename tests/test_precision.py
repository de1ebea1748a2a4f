import time

import lightning as L
import pytest
import torch
from torch import nn

from cnnkit import CNN, TimmNet, precision
from cnnkit.errors import UserError
from cnnkit.precision import PRECISIONS, compute_depthwise_share, default_precision, resolve_precision


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("CNNKIT_PRECISION", raising=False)


def pretend(monkeypatch, *, cuda=False, cuda_bf16=False, mps=False, cpu_bf16=False, error=0.003):
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: cuda_bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: cpu_bf16)
    monkeypatch.setattr(precision, "_bf16_error", lambda: calls.append(1) or error)
    return calls


@pytest.mark.parametrize(
    ("machine", "accelerator", "expected", "reason"),
    [
        ({"cuda": True, "cuda_bf16": True}, "auto", "bf16-mixed", "GPU"),
        ({"cuda": True, "cuda_bf16": True}, "gpu", "bf16-mixed", "GPU"),
        ({"cuda": True, "cuda_bf16": True}, "cpu", "32-true", "CPU"),
        ({"cuda": True, "cuda_bf16": False}, "cuda", "32-true", "GPU has no bfloat16"),
        ({"mps": True, "cpu_bf16": True}, "auto", "32-true", "mps"),
        ({"mps": True}, "gpu", "32-true", "mps"),
        ({"cpu_bf16": False}, "auto", "32-true", "no bfloat16 instructions"),
        ({"cpu_bf16": True}, "auto", "bf16-mixed", "has bfloat16 instructions"),
        ({"cpu_bf16": True, "error": 0.3}, "cpu", "32-true", "off by 30.0%"),
        ({"cpu_bf16": True, "error": float("nan")}, "cpu", "32-true", "off by nan"),
        ({}, "tpu", "32-true", "tpu"),
    ],
)
def test_the_choice_on_every_machine(monkeypatch, machine, accelerator, expected, reason):
    pretend(monkeypatch, **machine)
    choice = default_precision(accelerator)
    assert choice.precision == expected
    assert reason in choice.reason


def test_a_net_of_depthwise_convolutions_trains_in_float32_on_a_cpu(monkeypatch):
    """Images a second of a training step, bfloat16 over float32, were 0.6 for Lite0 and 1.5 for ResNet-18."""
    lite0 = TimmNet(name="tf_efficientnet_lite0", pretrained=False)
    resnext = TimmNet(name="resnext26ts", pretrained=False)  # grouped, and faster in bfloat16: 1.6
    assert compute_depthwise_share(lite0) == 16 / 17
    assert all(compute_depthwise_share(other) == 0 for other in (resnext, CNN(), nn.Linear(3, 3)))
    pretend(monkeypatch, cpu_bf16=True)
    choice = default_precision("cpu", lite0)
    assert choice.precision == "32-true"
    assert "94% of the net's convolutions are depthwise" in choice.reason
    assert default_precision("cpu", resnext).precision == default_precision("cpu", CNN()).precision == "bf16-mixed"
    pretend(monkeypatch, cuda=True, cuda_bf16=True)
    assert default_precision("auto", lite0).precision == "bf16-mixed"


def test_no_clock_is_read(monkeypatch):
    """The same command gets the same precision however busy the machine is."""

    def refuse():
        raise AssertionError("a clock was read")

    precision._bf16_error.cache_clear()
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: True)
    for name in ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "process_time", "thread_time"):
        monkeypatch.setattr(time, name, refuse)
    found = [default_precision("cpu", net) for net in (None, CNN(), nn.Conv2d(4, 4, 3, groups=4))]
    monkeypatch.undo()
    assert [choice.precision for choice in found] == ["bf16-mixed", "bf16-mixed", "32-true"]


@pytest.mark.parametrize("wish", PRECISIONS)
def test_the_environment_overrides(monkeypatch, wish):
    calls = pretend(monkeypatch, cpu_bf16=True)
    monkeypatch.setenv("CNNKIT_PRECISION", wish)
    assert default_precision("cpu").precision == resolve_precision(wish, "cpu")
    assert calls == []


def test_an_unknown_wish_is_refused(monkeypatch):
    monkeypatch.setenv("CNNKIT_PRECISION", "fp8")
    with pytest.raises(UserError, match="CNNKIT_PRECISION is 'fp8'; unset it or choose one of 32-true, bf16-mixed"):
        default_precision()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked", [*PRECISIONS, 16, "16", "bf16", 32, "32", 64, "64"])
def test_what_is_in_effect_is_what_lightning_computes_in(asked):
    trainer = L.Trainer(
        accelerator="cpu", precision=asked, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    assert resolve_precision(asked, "cpu") == trainer.precision


def test_float16_stays_where_the_device_has_it(monkeypatch):
    pretend(monkeypatch, cuda=True)
    assert resolve_precision("16-mixed", "auto") == resolve_precision("16-mixed", "gpu") == "16-mixed"
    pretend(monkeypatch)
    assert resolve_precision("16-mixed", "auto") == "bf16-mixed"


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_check_of_bfloat16_leaves_torch_as_it_was(mode):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        precision._bf16_error.cache_clear()
        error = precision._bf16_error()
        precision._bf16_error.cache_clear()
        assert precision._bf16_error() == error, "a function of the machine"
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.is_autocast_enabled("cpu")
    assert 0 < error < 0.02, "bfloat16 rounds, and by about 2^-8"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({}, False), ({"avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"amx_tile": True}, True)],
)
def test_which_instructions_a_cpu_needs(monkeypatch, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert precision._cpu_has_bf16() is expected
