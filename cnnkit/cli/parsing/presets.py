"""Spells out the presets of augmentation, so that a configuration says what they contain."""

from typing import Any

from cnnkit.cli.parsing.classes import list_arguments, list_choices, resolve_class
from cnnkit.cli.parsing.written import WrittenValues, read_arguments
from cnnkit.config_files.scalars import as_word
from cnnkit.errors import UserError
from cnnkit.suggest import suggest
from cnnkit.transforms.presets import PRESETS, spell_out


def spell_out_presets(written: WrittenValues) -> None:
    """Replace, in place, each preset in ``data.augment`` by its transforms.

    Raises:
        UserError: it is one word, which is neither a preset nor a class.
    """
    data = written.tree["data"]
    argument = list_arguments(data.get("class_path", "")).get("augment") if isinstance(data, dict) else None
    if argument is None or not PRESETS.keys() <= set(list_choices(argument.type)):
        return  # of a data module that is not ours
    values = read_arguments(data)
    for name in {"augment", "augment+"} & values.keys():
        augment = values[name]
        if isinstance(augment, list):
            values[name] = [part for item in augment for part in _spell_out(item)]
        elif isinstance(augment, str) and augment in PRESETS:
            values[name] = _spell_out(augment)
        elif isinstance(augment, str) and augment.isidentifier() and resolve_class(str(augment)) is None:
            key = written.origin.locate("data.augment")
            remedy = suggest(str(augment), PRESETS)
            raise UserError(f"{key} is {as_word(augment)}: it takes a list of transforms, or a preset{remedy}")


def _spell_out(item: Any) -> list[Any]:
    return list(spell_out(item)) if isinstance(item, str) and item in PRESETS else [item]
