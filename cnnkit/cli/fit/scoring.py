"""Scores a data module with ``validate``, ``test`` and ``predict``, and records the scores of a run."""

import contextlib
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.fit.output import print_scores, write_predictions
from cnnkit.config_files.yaml_files import read_file
from cnnkit.dashboards.hparams import add_test_score
from cnnkit.errors import UserError
from cnnkit.files import note_not_written
from cnnkit.notices import say
from cnnkit.runs import RunFolder, choose_checkpoint, refuse_if_written
from cnnkit.runs.folder import count_look
from cnnkit.runs.predictions import write_class_scores
from cnnkit.weights.checkpoints import check_weights_fit, load_checkpoint, weight_shapes

if TYPE_CHECKING:
    from cnnkit.cli.fit.session import Session


def _choose_weights(session: "Session") -> tuple[Path, dict[str, int]]:
    """Choose the checkpoint to score, and check it against net and data; return it with epoch (from 1) and step.

    Raises:
        UserError: there is none, it cannot be read, or it does not fit.
    """
    path = choose_checkpoint(session.run, session.config.ckpt_path)
    content = load_checkpoint(path)
    remedy = (
        "name the run that it belongs to (--run RUN), or the configuration that it was trained with (--config FILE)"
    )
    if session.run is not None:
        remedy = "a run is scored with the net and image size that it was trained with; leave out what changes them"
    check_weights_fit(weight_shapes(content), session.model.state_dict(), path, remedy)
    _check_data_identity(session.command, session.run, session.datamodule)
    return path, {"epoch": content["epoch"] + 1, "step": content["global_step"]}


def _check_data_identity(command: str, run: RunFolder | None, data: Any) -> None:
    """Compare the data's fingerprint and split with those in the run's manifest, before anything is scored.

    A data module of image files compares its files itself; one without ``describe`` cannot be compared.

    Raises:
        UserError: the run would be scored on images that it was trained on.
    """
    trained = (run.manifest_if_readable().get("data") if run is not None else None) or {}
    if run is None or not hasattr(data, "describe") or "fingerprint" not in trained:
        return
    if hasattr(data, "save_split") and trained.get("name") == type(data).__name__:  # image files
        if not run.split.exists() and command != "predict":
            raise UserError(
                f"{run}: is older and does not say which images it was trained on; they could be among those to score, "
                "so train again"
            )
        decoder = data.describe().get("decoder")
        if trained.get("decoder", decoder) != decoder:
            say(f"{run} was trained on images from {trained['decoder']}, here it is {decoder}: pixels may differ")
        return
    here = data.describe()
    other = [key for key in ("fingerprint", "split") if trained.get(key, here[key]) != here[key]]
    if not other:
        return
    names = f"{trained.get('name')} ({trained['fingerprint']}) then, {here['name']} ({here['fingerprint']}) now"
    if "fingerprint" in other:
        say(f"the data are not those that {run} was trained on: {names}")
    elif command == "validate":
        raise UserError(
            f"{run}: data.val_size, data.split_seed, data.fold or other keys of the split differ from its training, so "
            "images that it was trained on would validate it; leave them as they were"
        )


def score(session: "Session") -> None:
    """Run ``validate`` or ``test``; what is measured on all images is recorded in the run folder."""
    command = session.command
    limited = "limit_test_batches" if command == "test" else "limit_val_batches"
    limit = session.config.trainer[limited]
    whole = limit is None or (isinstance(limit, float) and limit == 1)  # the integer 1 is one batch
    run: RunFolder | None = session.run if whole else None
    if run is not None:
        refuse_if_written(run.path)
    path, moment = _choose_weights(session)
    method = getattr(session.trainer, command)
    options = {"ckpt_path": str(path), "verbose": False, "weights_only": session.config.weights_only}
    found = method(session.model, datamodule=session.datamodule, **options)
    scores = dict(found[0]) if found else {}
    if command == "test" and session.predictions.loss is not None:
        scores["test/loss_calibrated"] = session.predictions.loss
    if not session.trainer.is_global_zero:
        return
    views = getattr(session.model, "tta", "none")
    print_scores(command, path, scores, session.model)
    if not whole:
        print(f"scores of a part of the images (trainer.{limited} is {limit}), so not recorded")
        if session.run is not None and command == "test":
            with contextlib.suppress(OSError), session.run.edit_manifest() as manifest:
                count_look(manifest)  # to look at a part is to look
    if run is None:
        return
    tau, own = _read_tau(session)
    is_best = path.resolve() == run.locate_best().resolve() and tau == own
    try:
        if is_best and session.predictions.kept is not None:
            kept = session.predictions.kept
            kept.save(run.predictions)
            names = getattr(session.datamodule, "class_names", ())
            if kept.labels.ndim == 1 and len(names) == kept.probabilities.shape[1]:
                write_class_scores(run.test_classes, kept, names)
        how = {**moment, **({} if views == "none" else {"tta": views}), **({"posthoc_tau": tau} if tau or own else {})}
        _record_scores(run, command, path, how, scores, is_best=is_best)
    except OSError as error:
        note_not_written(run.manifest_file, error, f"; the {command} scores above are not recorded")


def _record_scores(
    run: RunFolder, command: str, path: Path, how: dict[str, Any], scores: dict[str, float], *, is_best: bool
) -> None:
    """Enter scores into the manifest: as the run's if they are of its best checkpoint, else under ``other_scores``.

    Whichever it was, a test is one more look at the test images.
    """
    name = path.name if path.resolve().parent == run.checkpoints.resolve() else str(path)
    entry = {"checkpoint": name, **how}
    with run.edit_manifest() as manifest:
        if command == "test":
            count_look(manifest)
        if is_best:
            manifest |= {command: scores, f"{command}_of": entry}
        else:
            when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            others = manifest.get("other_scores")
            others = others if isinstance(others, list) else []
            manifest["other_scores"] = [*others, {"command": command, **entry, "when": when, "scores": scores}]
    if is_best and command == "test":
        add_test_score(run, manifest)
    if not is_best:
        with_tau = f" with posthoc_tau {how['posthoc_tau']:g}" if "posthoc_tau" in how else ""
        print(f"recorded as scores of {name}{with_tau}; the run's own are those of {run.locate_best().name}")


def _read_tau(session: "Session") -> tuple[float, float]:
    """The ``posthoc_tau`` of these scores, and that of the run's own configuration."""
    tau = session.model.correction.tau if hasattr(session.model, "correction") else 0.0
    if session.run is None:
        return tau, tau
    model = read_file(session.run.config).values.get("model") or {}
    return tau, float((model.get("init_args") or {}).get("posthoc_tau", 0.0))


def predict(session: "Session") -> None:
    """Write the class probabilities of the test images to predictions.csv."""
    if session.run is not None:
        refuse_if_written(session.run.path)
    path, _ = _choose_weights(session)
    found = session.trainer.predict(
        session.model,
        datamodule=session.datamodule,
        return_predictions=True,
        ckpt_path=str(path),
        weights_only=session.config.weights_only,
    )
    if session.trainer.is_global_zero:
        try:
            thresholds = session.model.thresholds if getattr(session.model, "multilabel", False) else None
            write_predictions(session.run, found or [], session.datamodule, session.model, thresholds)
        except OSError as error:
            raise UserError(f"predictions.csv: cannot be written ({error.strerror})") from None
