"""timm's trained net, its file of weights, and no network."""

import socket
import time

import pytest
import timm
import torch


@pytest.fixture(scope="module")
def trained():
    """Stands for timm's trained net: resnet10t, whose weights want ImageNet's mean and standard deviation."""
    torch.manual_seed(0)
    return timm.create_model("resnet10t").eval()


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet10t.pth"
    torch.save(trained.state_dict(), path)
    return str(path)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    def wait(seconds):  # waiting for a process of one's own is a matter of milliseconds
        if seconds >= 0.2:
            pytest.fail("it waits for a network that is not there")

    monkeypatch.setattr(time, "sleep", wait)
