"""The plan of a study: ``study.yaml`` to the list of its runs."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnkit.config_files.cards import card_names, find_config, name_config
from cnnkit.config_files.scalars import as_word, plain
from cnnkit.config_files.yaml_files import read_yaml
from cnnkit.errors import UserError
from cnnkit.suggest import suggest

FILE = "study.yaml"
KEYS: dict[str, Any] = {
    "question": str,
    "config": str,
    "overrides": dict,
    "factors": dict,
    "paired": bool,
    "seeds": (int, list),
    "folds": int,
    "metric": str,
    "budget": str,
    "search": dict,
    "engine": str,
}
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Variant:
    """One configuration of a study.

    Args:
        levels: the name of its level by factor.
        words: the command line of `fit` that makes it, without seed and folder.
        fold: the fold that validates, in a study over folds; a variant has one of each.
    """

    levels: dict[str, str] = field(hash=False)
    words: tuple[str, ...]
    fold: int | None = None

    @property
    def name(self) -> str:
        """The levels' names, as the name of a folder."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(self.levels.values()) or "run").lstrip(".")[:64]
        return name if self.fold is None else f"{name}-fold{self.fold}"

    def take_fold(self, fold: int, folds: int) -> "Variant":
        """Return the variant that validates on one of the folds."""
        return Variant(self.levels, (*self.words, f"--data.folds={folds}", f"--data.fold={fold}"), fold)


@dataclass(frozen=True)
class Planned:
    """A planned run."""

    variant: Variant
    seed: int

    @property
    def title(self) -> str:
        """The variant and the seed as text."""
        fold = "" if self.variant.fold is None else f", fold {self.variant.fold}"
        return f"{', '.join(self.variant.levels.values()) or self.variant.name}{fold}, seed {self.seed}"


@dataclass
class Plan:
    """A study as ``study.yaml`` describes it; see `read_plan`."""

    folder: Path
    question: str
    variants: list[Variant]
    seeds: list[int]
    metric: str = "test/acc"
    budget: str = ""
    engine: str = "local"
    search: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def runs(self) -> list[Planned]:
        """All runs, seed by seed, so that a stopped study has runs of every variant."""
        return [Planned(variant, seed) for seed in self.seeds for variant in self.variants]


def read_plan(folder: str | Path) -> Plan:
    """Read ``study.yaml`` of a folder, or the file itself.

    Raises:
        UserError: if it is missing or has a key or value that is not valid.
    """
    path = Path(folder)
    file = path if path.is_file() else path / FILE
    if not file.is_file():
        raise UserError(f"{file}: no such file; a study is a folder with a {FILE}, see docs/experiments.md")
    said = read_yaml(file)
    if not isinstance(said, dict):
        raise UserError(f"{file}: not a mapping of keys to values; docs/experiments.md shows what one looks like")
    said = {key: _convert_value(key, value) for key, value in said.items()}
    _check(file, said)
    config = _find_config(file.parent, said.get("config"), file)
    common = dict(said.get("overrides") or {})
    variants = [
        Variant({f: name for f, name, _ in combination}, _words(file, config, common, [o for _, _, o in combination]))
        for combination in _combinations(file, said.get("factors") or {}, bool(said.get("paired")))
    ]
    if (folds := said.get("folds")) is not None:
        variants = [variant.take_fold(fold, folds) for variant in variants for fold in range(folds)]
    names = [variant.name for variant in variants]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{file}: two variants are called {twice!r}; give the levels names that differ in letters")
    seeds = said.get("seeds", 1)
    return Plan(
        file.parent,
        said["question"],
        variants,
        list(range(seeds)) if isinstance(seeds, int) else seeds,
        said.get("metric", "test/acc"),
        str(said.get("budget", "")),
        said.get("engine", "local"),
        said.get("search") or {},
    )


def _convert_value(key: str, value: Any) -> Any:
    """Convert a value to the type of its key; overrides and factors stay as they are written, for the command line."""
    if key in ("overrides", "factors"):
        return value
    return str(value) if KEYS.get(key) is str and isinstance(value, str) else plain(value)


def _check(file: Path, said: dict[str, Any]) -> None:
    for key, value in said.items():
        if key not in KEYS:
            raise UserError(f"{file}: unknown key {key!r}{suggest(str(key), KEYS)}")
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and KEYS[key] is not bool):
            kinds: Any = KEYS[key]
            wanted = " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise UserError(f"{file}: {key} is {value!r}; expected {wanted}")
    for key in ("question", "config"):
        if not said.get(key):
            raise UserError(f"{file}: {key} is missing; a study needs a question and a configuration to start from")
    seeds = said.get("seeds", 1)
    listed = seeds if isinstance(seeds, list) else [seeds]
    if not listed or not all(type(s) is int and s >= 0 for s in listed) or seeds == 0 or len({*listed}) < len(listed):
        raise UserError(f"{file}: seeds is {seeds}; give their number, or a list of different whole numbers")
    if (folds := said.get("folds", 2)) < 2 or ("folds" in said and said.get("search")):
        raise UserError(f"{file}: folds is {folds}; give at least 2, and no search beside them")
    if said.get("engine", "local") not in ENGINES:
        raise UserError(f"{file}: engine is {said['engine']!r}; there are {', '.join(ENGINES)}")


def _combinations(file: Path, factors: dict[str, Any], paired: bool) -> list[list[tuple[str, str, dict[str, Any]]]]:
    """For every variant, its (factor, level's name, overrides)."""
    levels: list[list[tuple[str, str, dict[str, Any]]]] = []
    for factor, said in factors.items():
        if isinstance(said, list):  # values of one key
            named = {as_word(value): {factor: value} for value in said}
        elif isinstance(said, dict):
            named = {str(name): overrides or {} for name, overrides in said.items()}
        else:
            named = {}
        if not named or not all(isinstance(overrides, dict) for overrides in named.values()):
            raise UserError(
                f"{file}: factors.{factor}: give a list of values of that key, or names, each with its overrides"
            )
        levels.append([(str(factor), name, overrides) for name, overrides in named.items()])
    if not paired:
        return [list(combination) for combination in itertools.product(*levels)]
    if len({len(level) for level in levels}) > 1:
        raise UserError(f"{file}: paired factors need equally many levels; leave paired out to cross them")
    return [list(combination) for combination in zip(*levels, strict=True)]


def _words(file: Path, config: Path, common: dict[str, Any], levels: list[dict[str, Any]]) -> tuple[str, ...]:
    overrides: dict[str, Any] = dict(common)
    for level in levels:
        for key, value in level.items():
            overrides.pop(key, None)  # a later one wins, and comes later on the command line
            overrides[key] = value
    if "config" in overrides:
        config = _find_config(file.parent, overrides.pop("config"), file)
    for key in ("seed_everything", "name", "trainer.default_root_dir"):
        if key in overrides:
            raise UserError(f"{file}: {key} cannot be overridden: the study sets it")
    return ("--config", name_config(config), *(f"--{key}={as_word(value)}" for key, value in overrides.items()))


def _find_config(folder: Path, name: Any, file: Path) -> Path:
    """Find a configuration: a path from here, from the study's folder or a folder above it, or a card's name."""
    above = [each / str(name) for each in (folder, *folder.resolve().parents)]
    tried = [Path(str(name)), *above, find_config(str(name))]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise UserError(
            f"{file}: config is {name}, and there is no such file, here or in a folder above the study's"
            f"{suggest(str(name), card_names(), listing=False)}"
        )
    return found
