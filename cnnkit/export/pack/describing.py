"""What the card of a trained net says, but for its files."""

from typing import Any

from cnnkit.export.pack.card import Card
from cnnkit.export.pack.results import read_results
from cnnkit.export.proof import Proof
from cnnkit.export.subject import Subject
from cnnkit.inspection.complexity import complexity
from cnnkit.runs import RunFolder
from cnnkit.runs.records import read_record


def describe_subject(run: RunFolder, subject: Subject) -> Card:
    """Collect what the card of a run's checkpoint says of net and run; its files and license are still missing."""
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
    )


def describe_proof(proof: Proof) -> str:
    """Return a sentence or two: how a model file was compared with the net, how far they agree, its accuracy."""
    found = proof.agreement
    text = (
        f"{proof.file} ({proof.precision}, {proof.bytes / 1e6:.1f} MB) was run on {found.images:,} {proof.checked_on} "
        f"in {proof.ran_in}: {found.differing_classes} have another class than with the net itself, and the largest "
        f"difference of a probability is {found.largest_difference:.1e}."
    )
    if scored := proof.accuracy.get("file"):
        text += f" The share of them that it gets right is {scored['accuracy']:.4f}; of the net in float32 it is "
        text += f"{proof.accuracy['net']['accuracy']:.4f}."
    return text
