import gc
import subprocess
import sys
import textwrap

import pytest

from cnnkit.allocator import keep_freed_memory, pause_collections

# A fresh process: what it sets holds for the rest of a process's life.
FAULTS = """
    import resource, torch
    from cnnkit.allocator import keep_freed_memory

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            blocks = [torch.ones(10, 2**20) for _ in range(5)]  # 40 MB each, beyond what glibc would ever learn to keep
            del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    first = faults()
    assert keep_freed_memory()
    faults()
    print(first, faults())
"""


@pytest.mark.slow
def test_the_next_step_finds_the_memory_of_the_last_one():
    if not keep_freed_memory():
        pytest.skip("needs Linux with glibc, whose malloc this is about")
    script = textwrap.dedent(FAULTS)
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    before, after = map(int, printed.split())
    assert before > 1_000
    assert after < before / 20


def test_the_collector_is_as_before_after_a_pause():
    def fail_in_a_pause():
        with pause_collections():
            with pause_collections():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise ValueError("over")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="over"):
        fail_in_a_pause()
    assert gc.isenabled()


def test_what_the_imports_made_is_left_alone_until_the_process_ends():
    script = """
        import gc, sys
        from cnnkit.allocator import import_quickly
        with import_quickly():
            assert not gc.isenabled()
            import torch
        many = gc.get_freeze_count()
        with import_quickly():
            import torch, json
        print(many, gc.get_freeze_count(), gc.isenabled())
    """
    words = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    many, again, enabled = done.stdout.split()
    assert int(many) == int(again) > 100_000
    assert enabled == "True"
    assert not done.stderr  # such as of leaks
