import pytest
import torch

from cnnkit import precision
from cnnkit.errors import UserError
from cnnkit.precision import PRECISIONS, default_precision


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv("CNNKIT_PRECISION", raising=False)
    precision._cpu_choice.cache_clear()
    yield
    precision._cpu_choice.cache_clear()


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def pretend(monkeypatch, *, cuda=False, cuda_bf16=False, mps=False, cpu_bf16=False, probe=(2.0, 0.003)):
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: cuda_bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: cpu_bf16)
    monkeypatch.setattr(precision, "_probe", lambda: calls.append(1) or probe)
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
        ({"cpu_bf16": True}, "auto", "bf16-mixed", "2.0 times as fast"),
        ({"cpu_bf16": True, "probe": (1.05, 0.003)}, "cpu", "32-true", "1.1 times as fast"),
        ({"cpu_bf16": True, "probe": (0.1, 0.003)}, "cpu", "32-true", "0.1 times as fast"),
        ({"cpu_bf16": True, "probe": (3.0, 0.3)}, "cpu", "32-true", "off by 30.0%"),
        ({"cpu_bf16": True, "probe": (3.0, float("nan"))}, "cpu", "32-true", "off by nan"),
        ({}, "tpu", "32-true", "tpu"),
    ],
)
def test_the_choice_on_every_machine(monkeypatch, machine, accelerator, expected, reason):
    pretend(monkeypatch, **machine)
    choice = default_precision(accelerator)
    assert choice.precision == expected
    assert reason in choice.reason


def test_the_cpu_is_probed_once(monkeypatch):
    calls = pretend(monkeypatch, cpu_bf16=True)
    assert default_precision("cpu") == default_precision("auto")
    assert len(calls) == 1


@pytest.mark.parametrize("wish", PRECISIONS)
def test_the_environment_overrides(monkeypatch, wish):
    calls = pretend(monkeypatch, cpu_bf16=True)
    monkeypatch.setenv("CNNKIT_PRECISION", wish)
    assert default_precision().precision == wish
    assert calls == []


def test_an_unknown_wish_is_refused(monkeypatch):
    monkeypatch.setenv("CNNKIT_PRECISION", "fp8")
    with pytest.raises(UserError, match="CNNKIT_PRECISION is 'fp8'; unset it or choose one of 32-true, bf16-mixed"):
        default_precision()


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_probe_leaves_torch_as_it_was(mode, two_threads):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        ratio, error = precision._probe(budget_s=0.02)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2
    assert not torch.is_autocast_enabled("cpu")
    assert 0 < ratio < float("inf")
    assert 0 < error < 0.02, "bfloat16 rounds, and by about 2^-8"


def test_torch_without_private_cpu_flags_falls_back_to_the_kernel(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.setattr(precision, "Path", lambda _: cpuinfo)
    assert not precision._cpu_has_bf16()
    cpuinfo.write_text("flags : fpu avx2 avx512f\n")
    assert not precision._cpu_has_bf16()
    cpuinfo.write_text("flags : fpu avx2 avx512f avx512_bf16\n")
    assert precision._cpu_has_bf16()
