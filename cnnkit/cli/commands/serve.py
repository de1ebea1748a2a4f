"""``serve``: a trained net over HTTP, and a page to try it."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cnnkit.cli.cores import use_free_cores
from cnnkit.cli.parsing.options import Options, natural, positive, positive_number
from cnnkit.cli.quiet import quieten
from cnnkit.errors import UserError
from cnnkit.notices import say
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.inference.predictor import Predictor

DESCRIPTION = """\
Answer requests over HTTP with a trained net, until Ctrl-C: POST an image or several to /predict, and JSON comes back.
The page at the printed address takes an image or a drawing, and shows its classes and a heat map. docs/serving.md
describes the addresses and the limits.

    curl -F file=@photo.jpg http://127.0.0.1:8000/predict

Only this machine is served, unless --host says otherwise. There is no login and no encryption."""
_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_HIGHEST = 65535


def arguments() -> Options:
    """The words of the command."""
    options = Options("serve", DESCRIPTION)
    add = options.add_argument
    add("--run", metavar="RUN", help="a run folder, or a name: its newest finished run")
    add("--model", metavar="FILE", help="an exported model or a checkpoint, in place of a run")
    add("--ckpt_path", metavar="FILE", help="of the run: best (default), last, a file in checkpoints/")
    add("--tta", choices=get_args(TTA), help="views of each image to average (default: the run's)")
    tau = "subtract X log(share of the class) from its logit (default: the run's)"
    add("--posthoc_tau", type=float, metavar="X", help=tau)
    add("-c", "--config", action="append", default=[], metavar="FILE", help="whose classes --model may import")
    add("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)")
    add("--port", type=_port, default=8000, metavar="N", help="its port (default 8000); 0 for a free one")
    add("--allow_host", action="append", default=[], metavar="NAME", help="another name that requests may be for")
    add("--threads", type=positive, metavar="N", help="of the net's arithmetic (default: the free cores but one)")
    add("--batch_size", type=positive, default=32, metavar="N", help="images at a time, at most (default 32)")
    wait = "milliseconds that an image waits for others to share a batch (default 2)"
    add("--batch_wait", type=natural, default=2, metavar="MS", help=wait)
    add("--max_mb", type=positive_number, default=16.0, metavar="MB", help="of a request's body (default 16)")
    add("--max_pixels", type=positive, metavar="N", help="of an image (default: as in training)")
    add("--max_images", type=positive, default=32, metavar="N", help="in a request (default 32)")
    add("--max_seconds", type=positive_number, default=30.0, metavar="S", help="for a request (default 30)")
    add("--max_waiting", type=positive, default=64, metavar="N", help="requests at a time (default 64)")
    return options


def run(args: argparse.Namespace) -> int:
    """Load the net and answer requests until a signal."""
    quieten()
    if (args.run is None) == (args.model is None):
        raise UserError("name a run (--run RUN) or a model file (--model FILE), one of them")
    if args.model is not None and args.ckpt_path is not None:
        raise UserError("--ckpt_path has no effect with --model: leave it out")
    if args.run is not None and args.config:
        raise UserError("--config has no effect with --run, which has its own: leave it out")
    if args.model is not None and not Path(args.model).is_file():
        raise UserError(f"{args.model}: no such file; --run names a run")
    if args.run is not None and Path(args.run).is_file():
        raise UserError(f"{args.run}: a file; --model names one")
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise UserError(f"serve needs {', '.join(missing)}: pip install 'cnnkit[serve]'")
    from cnnkit.serving.app import make_app
    from cnnkit.serving.gate import choose_hosts, is_local
    from cnnkit.serving.limits import Batching, Limits
    from cnnkit.serving.running import make_server, open_socket, serve

    limits = Limits(
        body=round(args.max_mb * 1e6),
        pixels=args.max_pixels,
        images=args.max_images,
        seconds=args.max_seconds,
        queue=args.max_waiting,
    )
    with open_socket(args.host, args.port) as listening:  # before the net: the port may be in use
        predictor = _load(args)
        batching = Batching(args.batch_size, args.batch_wait / 1000)
        app = make_app(predictor, limits, batching, choose_hosts(args.host, args.allow_host))
        host, port = listening.getsockname()[:2]
        if not is_local(args.host):
            say(f"{args.host} is open to other machines: whoever reaches it can use it, there is no login")
        name = f"[{host}]" if ":" in host else host
        print(f"serving {repr(predictor).strip('<>')}\nat http://{name}:{port} (Ctrl-C ends)", flush=True)
        serve(make_server(app, args.max_seconds), listening)
    return 0


def _load(args: argparse.Namespace) -> "Predictor":
    import torch

    import cnnkit
    from cnnkit.inference.trained_net import find_device

    # Before the net: onnxruntime keeps the number of threads that it finds.
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    elif find_device().type == "cpu":
        use_free_cores(spare=1)  # for decoding and answering
    return cnnkit.load(
        args.run or args.model,
        args.ckpt_path,
        tta=args.tta,
        posthoc_tau=args.posthoc_tau,
        batch_size=args.batch_size,
        config=args.config,
    )


def _port(text: str) -> int:
    if (value := natural(text)) > _HIGHEST:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_HIGHEST}, got {text!r}")
    return value
