from __future__ import annotations

import mmap
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.processes import connections, cores, cpu_seconds, memory, running, tree

if TYPE_CHECKING:
    from pathlib import Path

BURN = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\ninput()"


def test_cpu_time_is_that_of_the_process_and_its_children(tmp_path: Path) -> None:
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    argv = [sys.executable, "-c", program]
    with running(argv, core=cores()[1], log=tmp_path / "log", piped=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "done\n"
        assert len(tree(child.pid)) == 2
        assert 0.2 <= cpu_seconds(child.pid) < 2


def test_leaving_ends_the_child_and_restores_the_cores(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running(argv, core=cores()[1], log=tmp_path / "log") as child:
        assert os.sched_getaffinity(child.pid) == {cores()[1]}
        started = time.monotonic()
    assert child.returncode is not None
    assert time.monotonic() - started < 10
    assert os.sched_getaffinity(0) == before


def test_memory_that_no_file_backs_counts_in_every_way() -> None:
    before = memory(os.getpid())
    held = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE)  # the heap may have some left
    held.write(b"x" * len(held))
    after = memory(os.getpid())
    assert after.private - before.private >= len(held)
    assert after.proportional - before.proportional >= len(held)
    assert after.private < after.proportional < after.resident


def test_connections_are_those_of_the_process_to_the_port(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running(["sleep", "60"], core=cores()[1], log=tmp_path / "log") as bystander,
    ):
        port = listener.getsockname()[1]
        assert connections(os.getpid(), port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert connections(os.getpid(), port) == 1
            assert connections(bystander.pid, port) == 0
