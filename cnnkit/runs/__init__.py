"""The folder that a run leaves behind. No torch here: to read runs must not cost an import of it.

runs/<name>/<when>-<id>/
  config.yaml      fit --config config.yaml repeats the run
  manifest.json    what was run on what, and what came out
  split.json       of image files: which images train, validate and test, by content
  metrics.csv      one row a logged step
  test_predictions.safetensors   probabilities of every test image, written by `test` alone
  events.out.*     TensorBoard
  checkpoints/     best.ckpt, last.ckpt
  .writer.lock     held by the process that trains; .writer.json says which one that is
"""

from cnnkit.runs.choice import choose_checkpoint, choose_finished, choose_resumable, find, locate_runs
from cnnkit.runs.folder import ROOT, RunFolder, create
from cnnkit.runs.lock import find_writer, hold_writer_lock, refuse_if_written

__all__ = [
    "ROOT",
    "RunFolder",
    "choose_checkpoint",
    "choose_finished",
    "choose_resumable",
    "create",
    "find",
    "find_writer",
    "hold_writer_lock",
    "locate_runs",
    "refuse_if_written",
]
