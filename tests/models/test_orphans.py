"""Workers do not outlive the process that they work for, however it ends."""

import os
import select
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time
from models.pools import Loky
from models.workers import Done

def who(number):
    time.sleep(0.2)  # so that no worker takes both
    return os.getpid()

if __name__ == "__main__":
    import joblib
    pool = Loky(2)
    print(*set(pool.run(joblib.delayed(who)(i) for i in range(8))), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as only Linux can")
def test_workers_end_when_the_main_process_is_killed(tmp_path):
    (tmp_path / "main.py").write_text(SCRIPT)
    pipe = subprocess.PIPE
    main = subprocess.Popen([sys.executable, "main.py"], cwd=tmp_path, stdin=pipe, stdout=pipe, text=True)
    workers = [os.pidfd_open(int(worker)) for worker in main.stdout.readline().split()]
    assert workers
    main.send_signal(signal.SIGKILL)
    main.wait()
    for worker in workers:
        ended = select.poll()
        ended.register(worker, select.POLLIN)  # readable once the process has ended
        assert ended.poll(60_000)
        os.close(worker)
    main.stdin.close()
    main.stdout.close()
