"""Trained nets as files that run without cnnkit, each checked against the net that it came from."""
