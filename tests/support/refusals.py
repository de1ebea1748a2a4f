"""What a user sees when a command refuses."""

from small_runs import CommandResult


def assert_refused(ended: CommandResult, *texts: str) -> None:
    assert ended.code == 2
    assert len(ended.err.splitlines()) <= 3
    for text in texts:
        assert text in ended.err
