"""Checks of the schedule and of the length of the run."""

from collections.abc import Iterator

from cnnkit.cli.commands.check.subject import Finding, Subject
from cnnkit.errors import UserError
from cnnkit.optim import plan_schedule
from cnnkit.optim.factories import plain_factory, read_argument, read_name

# Arguments that are the length of a warm-up, by their unit; those without one are in the unit of the schedule.
_WARM_UPS = {"warmup_steps": "step", "num_warmup_steps": "step", "warmup_epochs": "epoch", "warmup_t": "", "warmup": ""}


def check_milestones(subject: Subject) -> Iterator[Finding]:
    """A milestone after the end of the run, or a first step of the rate after it."""
    for key, schedule in subject.schedules():
        plan = plan_schedule(plain_factory(schedule), subject.task.schedule_interval)
        count = subject.length.count_moves(plan.interval) if subject.length else None
        if count is None:
            continue
        milestones, step = (read_argument(plain_factory(schedule), name) for name in ("milestones", "step_size"))
        late = [m for m in milestones if m >= count] if isinstance(milestones, (list, tuple)) else []
        run = f"the run has {count} {plan.interval}s"
        if late:
            yield Finding(
                f"{key}.milestones",
                f"{late[0]} never comes: {run}",
                f"give milestones below {count}, or a longer run",
            )
        elif isinstance(step, int) and step >= count:
            yield Finding(f"{key}.step_size", f"is {step}, and {run}: the rate never changes", "give a smaller one")


def check_warm_up(subject: Subject) -> Iterator[Finding]:
    """A warm-up that is not over when the run is."""
    for key, schedule in subject.schedules():
        factory = plain_factory(schedule)
        plan = plan_schedule(factory, subject.task.schedule_interval)
        names = dict(_WARM_UPS) | ({"total_iters": ""} if read_name(factory) == "LinearLR" else {})
        for name, unit in names.items():
            length = read_argument(factory, name)
            if subject.length is None or isinstance(length, bool) or not isinstance(length, int):
                continue
            interval = unit or plan.interval
            count = subject.length.count_moves("step" if interval == "step" else "epoch")
            if length >= count:
                yield Finding(
                    f"{key}.{name}",
                    f"is {length}, and the run has {count} {interval}s: the rate is still rising at the end",
                    "give a shorter warm-up, or a longer run",
                )
        share = read_argument(factory, "warmup")
        if isinstance(share, float) and share >= 0.9:
            yield Finding(f"{key}.warmup", f"is {share:g} of the run: nearly all of it is warm-up", "give 0.05 to 0.2")


def check_steps(subject: Subject) -> Iterator[Finding]:
    """An epoch of one step.

    Raises:
        UserError: it has none, because of the trainer's limit; `fit` refuses that, too.
    """
    limit = subject.arguments.get("limit_train_batches")
    if not subject.batches and subject.all_batches:
        raise UserError(f"trainer.limit_train_batches is {limit}, less than one batch; give a whole number of batches")
    if subject.batches == 1 < subject.all_batches:
        yield Finding("trainer.limit_train_batches", f"is {limit}: steps of an epoch: 1", "leave it out, or raise it")
    elif subject.batches <= 1:
        images, size = len(subject.data.train_indices), subject.data.batch_size
        yield Finding(
            "data.batch_size",
            f"is {size} of {images:,} training images: steps of an epoch: {subject.batches}",
            "give a smaller one, so that an epoch has at least ten steps",
        )
