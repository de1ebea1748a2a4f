"""The help that is printed without importing torch."""

MAIN = """\
usage: python -m cnnkit COMMAND [options]

Experiments with convolutional neural networks, on PyTorch Lightning.

commands:
  fit       train a net, leave a run folder         fit --config configs/quickstart.yaml
  test      the official test set, all of it        test --run runs/quickstart
  validate  the validation images                   validate --run runs/quickstart
  predict   class probabilities of the test images  predict --run runs/quickstart

options:
  --help, -h   this text; `COMMAND --help` for a command's
  --version    the version
  --debug      show the traceback of an error
"""

_SHARED = """\
  --config FILE            a YAML file; several are merged; the command line wins over all of them
  --key value              any key of the YAML, dotted: --trainer.max_epochs 5 --data.batch_size 64
                           --model.net CNN --model.net.channels [32,64] --model.optimizer.lr 0.01
  --seed_everything N      the seed (default 0)
  --print_config           all keys with their values and defaults, and stop
  --model.help CLASS       arguments of a task;  --data.help CLASS of a data module
  --model.net.help CLASS   arguments of a net (--model ClassificationTask before it)
"""

FIT = f"""\
usage: python -m cnnkit fit [--config FILE] [--key value ...]

Trains, validates after every epoch, and leaves runs/<name>/<when>-<id>/ with config.yaml, metrics.csv, manifest.json,
TensorBoard events and checkpoints/best.ckpt and last.ckpt.

{_SHARED}  --name NAME              folder of the run below runs/ (default: the config file's name)
  --resume RUN             go on where this run stopped
  --trainer.default_root_dir DIR   instead of runs/
"""

EVALUATE = """\
usage: python -m cnnkit {command} --run RUN [--key value ...]
       python -m cnnkit {command} --config FILE --ckpt_path FILE [--key value ...]

  --run RUN                a run folder, or a folder of runs (the newest is taken): its config and best checkpoint
  --ckpt_path FILE         another checkpoint
"""

COMMANDS = {"fit": FIT, **{c: EVALUATE.format(command=c) + _SHARED for c in ("test", "validate", "predict")}}
