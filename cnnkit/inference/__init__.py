"""Trained nets on images: what `predict`, `explain` and `cnnkit.load` share. Lightning only where a task needs it."""
