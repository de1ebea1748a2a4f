"""docs/serving.md names what there is: options with their defaults, addresses, statuses."""

import re
from pathlib import Path
from typing import Any

from served import make_predictor

from cnnkit.cli.commands.serve import arguments
from cnnkit.serving.app import make_app
from cnnkit.serving.limits import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_limits_of_the_page_are_those_of_the_command_and_of_python() -> None:
    table = dict(re.findall(r"^\| .*? \| `--(\w+)` \| ([^|]*?) \|", PAGE, re.MULTILINE))
    args = arguments().read([])
    found = {name: vars(args)[name] for name in table}
    assert found.pop("max_pixels") is None
    assert {name: float(text.split()[0]) for name, text in table.items() if name in found} == found
    assert Limits() == Limits(args.max_mb * 1e6, None, args.max_images, args.max_seconds, args.max_waiting)  # type: ignore[arg-type]


def test_every_option_is_on_the_page() -> None:
    ways = {"ckpt_path", "tta", "port", "help"}  # those that other commands have, and the plainest ones
    options = set(re.findall(r"--(\w+)", arguments().format_help().partition("\noptions:")[2]))
    assert {"run", "max_mb"} <= options
    assert not options - ways - set(re.findall(r"--(\w+)", PAGE))


def test_every_address_is_on_the_page() -> None:
    routes: Any = make_app(make_predictor()).app
    served = {(method, route.path) for route in routes.routes for method in route.methods - {"HEAD"}}
    assert served == set(re.findall(r"^\| `(GET|POST) (/\S*)` \|", PAGE, re.MULTILINE))
