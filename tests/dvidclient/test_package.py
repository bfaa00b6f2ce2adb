"""The client as a package: what it needs, and what it must not."""

import importlib.metadata
import json
import re
import subprocess
import sys

LISTED = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
import dvidclient
for module in pkgutil.walk_packages(dvidclient.__path__, "dvidclient."):
    if not module.name.startswith("dvidclient.gui"):
        importlib.import_module(module.name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_it_needs_numpy_and_an_http_library_only():
    needed = [line for line in importlib.metadata.requires("dvidclient") if "extra ==" not in line]
    assert {re.match(r"[\w.-]+", line)[0] for line in needed} == {"numpy", "urllib3"}


def test_importing_all_of_it_loads_nothing_else():
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert {"numpy", "urllib3", "dvidclient"} <= loaded
    others = loaded - set(sys.stdlib_module_names) - {"numpy", "urllib3", "dvidclient"}
    # urllib3 takes these where they are installed; and numpy 1 has what Cython made.
    taken = {"brotli", "brotlicffi", "zstandard", "socks", "h2", "cython_runtime"}
    assert not {name for name in others if not name.startswith("_")} - taken
