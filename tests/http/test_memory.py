import subprocess
import sys

PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from dvid.http.memory import keep_freed_memory
    keep_freed_memory()
def answer():
    room = np.empty(1 << 20, np.uint8)
    room[::4096] = 1
for _ in range(20):
    answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_answers_of_a_megabyte_take_their_memory_from_the_kernel_once():
    faults = int(subprocess.run([sys.executable, "-c", PROGRAM, "keep"], capture_output=True, check=True).stdout)
    assert faults < 100  # 256 pages each, taken anew for every answer, would be 25,600
