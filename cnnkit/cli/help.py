"""The help that is printed without importing torch."""

from cnnkit.cli.dispatch import CLASSROOM, VIEW_COMMANDS, list_commands
from cnnkit.runs.keys import list_may_change

MAIN = f"""\
usage: cnnkit COMMAND [options]

Experiments with convolutional neural networks, on PyTorch Lightning.

train and test:
  fit              train a net, leave a run folder                      fit --config quickstart
  test             the official test set, all of it                     test --run runs/quickstart
  validate         the validation images                                validate --run runs/quickstart
  predict          classes of your own image files                      predict --run runs/quickstart --images photos/

look inside:
{list_commands(VIEW_COMMANDS)}

teach (cnnkit classroom COMMAND):
{list_commands(CLASSROOM)}

options:
  --help, -h   this text; `COMMAND --help` for a command's
  --version    the version
  --debug      show the traceback of an error
"""

_SHARED = """\
  --config FILE            a YAML file; several are merged; the command line wins over all of them
  --key value              any key of the YAML, dotted: --trainer.max_epochs 5 --data.batch_size 64
                           --model.net CNN --model.net.channels [32,64] --model.optimizer.lr 0.01
  --key+=value             append to a list (--trainer.callbacks+=EMA), or change a class and keep the arguments that
                           fit (--model.optimizer+=torch.optim.SGD); without + those of the class before are dropped
  --seed_everything N      the seed (default 0)
  --print_config           all keys with their values and defaults, and stop
  --model.help CLASS       arguments of a task;  --data.help CLASS of a data module
  --model.net.help CLASS   arguments of a net (--model ClassificationTask before it)
"""

FIT = f"""\
usage: cnnkit fit [--config FILE] [--key value ...]

Trains, validates after every epoch, and leaves runs/<name>/<when>-<id>/ with config.yaml, metrics.csv, manifest.json,
TensorBoard events and checkpoints/best.ckpt and last.ckpt.

{_SHARED}  --name NAME              folder of the run below runs/ (default: the config file's name)
  --monitor METRIC         what best.ckpt is chosen by (default val/acc), own metrics too; ties go to the lower val/loss
  --mode min               which values of it are better: max, min, or auto, by its name (default)
  --resume RUN             go on where this run stopped; a name takes its newest run that has a checkpoint
  --ckpt_path best         with --resume: from another checkpoint of the run than its last one
  --weights FILE_OR_RUN    start the whole net from these weights
  --trainer.default_root_dir DIR   instead of runs/
  --watch.PART false       leave a part of the dashboards out, or ask for one (--watch.histograms true); the parts:
                           layout images norms relus histograms memory confusion reliability pr_curves mistakes
                           kernels maps embeddings; a callback of the same class given with --trainer.callbacks+=
                           takes the place of ours
  --watch null             none of them

With --resume these keys may change and take effect; any other that differs from the run's config.yaml is refused:
{list_may_change()}
Look at it: tensorboard --logdir runs
"""

EVALUATE = """\
usage: cnnkit {command} --run RUN [--key value ...]
       cnnkit {command} --config FILE --ckpt_path FILE [--key value ...]

  --run RUN                a run folder, or the name of runs (the newest finished one is taken): its configuration and
                           its best checkpoint
  --ckpt_path last         another checkpoint: best, last, a file. Scores of another than the best are recorded as such
  --tta flip               average over views of each image, too: flip, flip_shift, five_crop; printed as acc_tta
  --posthoc_tau 1          subtract 1 log(share of the class) from its logit, for classes of very different sizes
"""

PREDICT = f"""\
usage: cnnkit predict --run RUN --images FILE_OR_FOLDER ... [--output FILE] [--batch_size N]
       cnnkit predict --ckpt_path FILE --images FILE_OR_FOLDER ...
       cnnkit predict --model FILE --images FILE_OR_FOLDER ...
       cnnkit predict --run RUN [--key value ...]

Says the class of every image and how probable it is. The images are brought to the net as the validation images were;
the data set itself need not be there.

  --run RUN                a run folder, or the name of runs (the newest finished one is taken): its best checkpoint
  --ckpt_path last         another checkpoint: best, last, a file
  --model FILE             instead of both, a file of `cnnkit export`: .onnx, .pt2, .safetensors
  --images PATH ...        image files (PNG, JPEG, WebP, BMP, GIF, TIFF), and folders, with all folders below them
  --output FILE            the table, as CSV: path, class, probability, the five most probable classes, and why a file
                           could not be read (default: predictions.csv)
  --batch_size N           images at a time (default 64)
  --tta flip               average over views of each image: flip, flip_shift, five_crop, none
  --posthoc_tau 1          subtract 1 log(share of the class) from its logit, for classes of very different sizes
  --config FILE            with --ckpt_path of a net or task of your own: a configuration file that names it

The exit code is 3 if some files could not be read; the others are predicted.

Without --images, the test images are predicted, and RUN/predictions.csv holds the result:

{_SHARED}"""

COMMANDS = {
    "fit": FIT,
    **{c: EVALUATE.format(command=c) + _SHARED for c in ("test", "validate")},
    "predict": PREDICT,
}
