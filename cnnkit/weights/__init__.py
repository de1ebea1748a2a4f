"""Weights and checkpoints from files, without running code in them."""

from cnnkit.weights.reading import describe_differences, pretrained_skipped, read_weights, skip_pretrained

__all__ = ["describe_differences", "pretrained_skipped", "read_weights", "skip_pretrained"]
