"""Shortens the text of a library's error to a sentence."""

import re


def shorten_error(error: BaseException) -> str:
    """An error's text without markup and without advice that is for programmers, in at most 200 characters."""
    if isinstance(error, NotImplementedError) and not str(error):
        return "a base class, which does nothing by itself; name a class that is made from it"
    if missing := re.search(r"Requirement '([\w.-]+)[^']*' not met|No module named '([\w.]+)'", str(error)):
        return f"needs {missing[1] or missing[2]}, which is not installed"
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"\bpl\.|\blightning(\.\w+)+\.", "", text)
    text = re.sub(r"\b[A-Z]\w+\((\w+=[^()]*)\)", r"\1", text).replace("`", "")
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)
    short = sentences[0]
    for sentence in sentences[1:]:
        if len(short) + len(sentence) < 200:
            short += f" {sentence}"
    return (short if len(short) <= 240 else short[:237] + "...").removesuffix(".")
