"""Every number in an answer of the experiments' READMEs follows from the study's results.csv, by SciPy."""

import csv
import re
from statistics import fmean, median

import pytest
import yaml
from study_figures import EXPERIMENTS, Results

from cnnkit.study.plan import read_plan

CLAIMS = yaml.safe_load((EXPERIMENTS.parent / "tests/experiments/study_claims.yaml").read_text(encoding="utf-8"))
ANSWERS, INDEX = CLAIMS["answers"], CLAIMS["index"]


def squeeze(text: str) -> str:
    return " ".join(text.split())


def page_of(folder: str) -> str:
    return squeeze((EXPERIMENTS / folder / "README.md").read_text(encoding="utf-8"))


def measured(folders: dict) -> list[str]:
    return [folder for folder in folders if (EXPERIMENTS / folder / "results.csv").exists()]


@pytest.mark.parametrize("folder", measured(ANSWERS))
def test_the_answer_is_what_the_results_say(folder: str) -> None:
    page, results = page_of(folder), Results(folder)
    for template in ANSWERS[folder]:
        assert squeeze(results.fill(template)) in page


@pytest.mark.parametrize("folder", measured(INDEX))
def test_the_index_says_the_same(folder: str) -> None:
    index = squeeze((EXPERIMENTS / "README.md").read_text(encoding="utf-8"))
    assert squeeze(f"| {Results(folder).fill(INDEX[folder])} |") in index


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in EXPERIMENTS.glob("*/results.csv")))
def test_every_study_has_its_answer_tested_and_its_budget_is_what_it_cost(folder: str) -> None:
    assert folder in ANSWERS
    minutes = sum(float(row["train_seconds"]) for runs in Results(folder).rows.values() for row in runs) / 60
    plan = read_plan(EXPERIMENTS / folder)
    assert f"**Cost.** {len(plan.runs)} runs; the budget is {plan.budget}." in page_of(folder)
    assert 0.95 * minutes <= float(plan.budget.split(" minutes on ")[0]) <= 1.6 * minutes + 2


def gradients(folder: str) -> dict[str, tuple[list[float], list[float]]]:
    with (EXPERIMENTS / folder / "gradients.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        name: tuple([float(r[column]) for r in rows if r["variant"] == name] for column in ("first_step", "last_epoch"))
        for name in dict.fromkeys(row["variant"] for row in rows)
    }


def test_gradients_of_the_deep_plain_net() -> None:
    page = page_of("residual_depth")
    found = gradients("residual_depth")
    first = found["plain-56"][0]
    assert f"grow from {min(first):.2f} near the logits to {max(first):.0f} near the image ({first[0]:.0f} at" in page
    ends = {name: median(last) for name, (_, last) in found.items()}
    others = [end for name, end in ends.items() if name != "plain-56"]
    assert f"is {ends['plain-56']:.2f}; the three other nets have {min(others):.2f} to {max(others):.2f}" in page
    low, high = ((min(f[:-1]), max(f[:-1])) for f in (found["residual-20"][0], found["residual-56"][0]))
    assert f"within {low[0]:.2f} to {low[1]:.2f} at 20 layers and {high[0]:.2f} to {high[1]:.2f} at 56" in page


def test_gradients_with_and_without_heads() -> None:
    page = page_of("auxiliary_loss")
    first = gradients("auxiliary_loss")["none"][0]
    least = min(first)
    assert f"{first[0]:.1f} at the first convolution and {least:.2f} at layer3.3.conv1, a factor of" in page
    assert f"a factor of {first[0] / least:.0f}" in page


def test_gradients_that_vanish() -> None:
    page = page_of("vanishing_gradients")
    found = gradients("vanishing_gradients")
    first = {name: start for name, (start, _) in found.items()}
    sigmoid = first["sigmoid"]
    factor = (sigmoid[-1] / sigmoid[0]) ** (1 / (len(sigmoid) - 1))
    assert (
        f"{sigmoid[-1]:.2f} at the logits and {sigmoid[0]:.1e} at the first convolution, a factor of {factor:.0f}"
        in page
    )
    assert f"The tanh net starts with {first['tanh'][0]:.1e} at" in page
    assert f"torch's default initialization starts with {first['ReLU'][0]:.1e}" in page
    he = first["ReLU_He_initialization"]
    assert f"start between {min(he):.4f} and {max(he):.3f}" in page
    assert f"first convolution to {first['sigmoid_skip_connections'][0]:.4f}" in page
    last = found["sigmoid_auxiliary_heads"][1]
    above = last[-8:-1]  # convolutions after the last head
    assert "but not the seven layers above the last head" in page
    assert f"the gradients below are at least {min(last[:-8]):.3f}; above, they still fall to {min(above):.1e}" in page


def test_accuracies_under_challenges() -> None:
    page = (EXPERIMENTS / "challenges/README.md").read_text(encoding="utf-8")
    index = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    with (EXPERIMENTS / "challenges/challenges.csv").open(newline="", encoding="utf-8") as file:
        points = {(row["challenge"], row["name"], row["strength"]): row for row in csv.DictReader(file)}

    def shown(challenge: str, name: str, strength: str) -> str:
        row = points[challenge, name.replace(" ", "_"), strength]
        accuracy, low, high = (100 * float(row[column]) for column in ("accuracy", "low", "high"))
        return f"{accuracy:.1f} % ({low:.1f} to {high:.1f})"

    lines = re.findall(r"^\| (\w+) \| ([\d.]+) \| (.*?) \| (.*?) \| ([\w ]+) \|$", page, re.MULTILINE)
    assert len(lines) == 5
    for challenge, strength, plain, augmented, by in lines:
        assert (plain, augmented) == (shown(challenge, "none", strength), shown(challenge, by, strength))
    turned, cluttered = (
        [f"{100 * float(points[challenge, name, strength]['accuracy']):.1f}" for name in (by, "none")]
        for challenge, by, strength in (("rotation", "rotation_and_scale", "45"), ("clutter", "CutMix", "8"))
    )
    short = f"at 45 degrees {turned[0]} % instead of {turned[1]}, with clutter {cluttered[0]} instead of {cluttered[1]}"
    assert short in squeeze(index)


def test_the_lectures_figures_beside_ours() -> None:
    page, results = page_of("lecture"), Results("lecture")
    below = [
        88.14 - fmean(results.scores("MLP on Fashion-MNIST")),
        91.22 - fmean(results.scores("CNN on Fashion-MNIST")),
    ]
    assert f"below the lecture's values, by {below[0]:.2f} and {below[1]:.2f} points" in page


def test_accuracies_of_shifted_images() -> None:
    page = (EXPERIMENTS / "translation/README.md").read_text(encoding="utf-8")
    with (EXPERIMENTS / "translation/shift.csv").open(newline="", encoding="utf-8") as file:
        points = {(row["name"], row["shift"]): float(row["accuracy"]) for row in csv.DictReader(file)}
    for line in re.findall(r"^\| (\d) \|(.*)\|$", page, re.MULTILINE):
        shown = re.findall(r"([\d.]+) %", line[1])
        assert shown == [f"{100 * points[name, line[0]]:.2f}" for name in ("MLP", "CNN", "CNN_global_pooling")]
