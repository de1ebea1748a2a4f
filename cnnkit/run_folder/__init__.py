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

from cnnkit.run_folder.choice import choose_checkpoint, choose_finished, choose_resumable, find
from cnnkit.run_folder.files import (
    check_regular,
    not_written,
    open_regular,
    replacing,
    report_not_written,
    write_atomically,
    writing_output,
)
from cnnkit.run_folder.folder import ROOT, RunFolder, create
from cnnkit.run_folder.lock import hold_writer_lock, refuse_if_written, writer_of

__all__ = [
    "ROOT",
    "RunFolder",
    "check_regular",
    "choose_checkpoint",
    "choose_finished",
    "choose_resumable",
    "create",
    "find",
    "hold_writer_lock",
    "not_written",
    "open_regular",
    "refuse_if_written",
    "replacing",
    "report_not_written",
    "write_atomically",
    "writer_of",
    "writing_output",
]
