"""Loading the kernels ahead of time."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from dvid.kernels.warming import warm
assert "numba" not in sys.modules
threading.Thread(target=warm).start()
from dvid.kernels.boxes import gather_blocks
from dvid.kernels.buffers import locate
print(locate([b"abc"])[1].tolist())
"""


def test_kernels_can_be_used_while_another_thread_warms_them():
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[3]\n"), done.stderr
