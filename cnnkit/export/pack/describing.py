"""What the card of a trained net says, but for its files."""

from collections.abc import Sequence
from typing import Any

from cnnkit.export.pack.card import Card
from cnnkit.export.pack.results import read_results
from cnnkit.export.subject import Subject
from cnnkit.inspection.complexity import complexity
from cnnkit.runs import RunFolder
from cnnkit.runs.records import read_record


def describe_subject(
    run: RunFolder, subject: Subject, *, left_out: Sequence[str], license: str | None, has_license_file: bool
) -> Card:
    """Collect what the card of a model says, but for its files.

    Args:
        run: the run.
        subject: its best checkpoint.
        left_out: keys of the configuration that the pack does not contain.
        license: of the model, as the user says it.
        has_license_file: whether the pack has its text.
    """
    classifier, data = subject.classifier, subject.data
    correction, tta = classifier.correction, classifier.tta
    temperature = correction.find_temperature(tta)
    rows: dict[str, Any] = {}
    if correction.tau:
        rows["adjusted for the sizes of the classes"] = f"by {correction.tau:g} log(share of the class)"
    if temperature is not None:
        rows["temperature"] = f"{temperature:.4f}"
    names = list(data.class_names)
    return Card(
        record=read_record(run.path),
        data=data,
        results=read_results(run, names, subject.content["global_step"], tta, calibrated=temperature is not None),
        parameters=sum(weight.numel() for weight in classifier.net.parameters()),
        macs=complexity(classifier.net, (data.in_channels, *data.size)).macs,
        tta=tta,
        correction=rows,
        multilabel=classifier.multilabel,
        class_counts=correction.class_counts,
        left_out=left_out,
        license=license,
        has_license_file=has_license_file,
    )
