import pytest

from benchmarks.__main__ import main


@pytest.mark.slow
def test_kills_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the 200 that `python -m benchmarks kills` counts."""
    monkeypatch.setenv("CNNKIT_PRECISION", "32-true")
    fits, saves = main(["kills", "--rounds", "6", "--quick"])
    counts = {name: int(figures[0]) for name, figures in fits.rows.items()}
    assert counts["kills"] == saves.rows["kills"][0] == 6
    assert counts["resumes"] == 6 - counts["before the first checkpoint"] == counts["resumes exact"]
    assert counts["resumes refused"] == counts["lost rows"] == counts["unreadable files"] == 0, fits.notes
    assert saves.rows["unreadable files"] == [0]
