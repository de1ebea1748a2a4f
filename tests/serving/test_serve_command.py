"""``cnnkit serve``: what it refuses, and a real server under load, until a signal ends it."""

import importlib.util
import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Cli

import cnnkit
from benchmarks.serve import fire, read_memory, start_server
from benchmarks.serve_requests import make_shots
from cnnkit.cli.commands import serve
from cnnkit.runs import RunFolder

MISTAKES: list[tuple[list[str], str]] = [
    ([], "name a run (--run RUN) or a model file (--model FILE), one of them"),
    (["--run", "a", "--model", "b.onnx"], "name a run (--run RUN) or a model file (--model FILE), one of them"),
    (["--model", "b.onnx", "--ckpt_path", "last"], "--ckpt_path has no effect with --model: leave it out"),
    (["--run", "a", "--config", "b.yaml"], "--config has no effect with --run, which has its own: leave it out"),
    (["--run", "nothing"], "nothing: no such run folder"),
    (["--model", "nothing.onnx"], "nothing.onnx: no such file; --run names a run"),
    (["--model", "."], ".: no such file; --run names a run"),
    (["--run", __file__], "test_serve_command.py: a file; --model names one"),
    (["--model", __file__], "test_serve_command.py: "),
    (["--run", "a", "--port", "70000"], "--port: expected a number from 0 to 65535, got '70000'"),
    (["--run", "a", "--port", "http"], "--port: expected a whole number from 0 on, got 'http'"),
    (["--run", "a", "--host", "no.such.host.invalid"], "--host is 'no.such.host.invalid': no such name or address"),
    (["--run", "a", "--host", "192.0.2.1"], "192.0.2.1, port 0: "),
    (["--run", "a", "--batch_size", "0"], "--batch_size: expected a whole number from 1 on, got '0'"),
    (["--run", "a", "--max_seconds", "0"], "--max_seconds: expected a number above 0, got '0'"),
    (["--run", "a", "--max_size", "3"], "--max_size: unknown word"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_mistakes_are_refused(cli: Cli, words: list[str], sentence: str) -> None:
    ended = cli("serve", *(["--port", "0"] if "--port" not in words else []), *words)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err
    assert len(ended.err.splitlines()) <= 3


def test_a_port_in_use_is_said_before_the_net_is_loaded(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli("serve", "--run", "nothing", "--port", str(port))
    assert ended.code == 2
    assert ended.err == (f"error: port {port} of 127.0.0.1 is in use: name another (--port N), or 0 for a free one\n")


def test_the_net_is_loaded_with_the_threads_that_it_will_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime keeps the number that it finds."""
    seen: list[int] = []
    monkeypatch.setattr(cnnkit, "load", lambda *_, **__: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        serve._load(serve.arguments().read(["--model", "net.onnx", "--threads", "3"]))
    finally:
        torch.set_num_threads(before)
    assert seen == [3]


def test_without_its_packages_it_names_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "cnnkit.cli.commands.serve.find_spec", lambda name: None if name in ("fastapi", "uvicorn") else found(name)
    )
    ended = cli("serve", "--run", "nothing")
    assert ended.code == 2
    assert ended.err == "error: serve needs fastapi, uvicorn: pip install 'cnnkit[serve]'\n"


def read_json(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return json.loads(answer.read())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux")
def test_a_server_under_load_loses_nothing_and_ends_well(trained_once: RunFolder) -> None:
    predictor = cnnkit.load(trained_once.path)
    predictor.tta = "flip"
    with start_server("--run", str(trained_once.path), "--tta", "flip") as (port, process):
        fire(port, make_shots(predictor, 60, slow=0), 32)
        before = read_memory(process.pid)
        outcome = fire(port, make_shots(predictor, 200, slow=0), 32)
        assert (outcome.lost, outcome.wrong) == ([], [])
        assert len(outcome.seconds) > 150
        assert read_memory(process.pid) < before + 100
        assert read_json(port, "/health")["status"] == "ready"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
