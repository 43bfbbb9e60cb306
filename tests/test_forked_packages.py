"""Fork servers of the tests' calls of Snakemake: forked where the environment is the same, started anew where not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROGRAM = """
import json, multiprocessing, os, sys
from support.forked_packages import Packages

packages = Packages()
packages.use()
os.environ[sys.argv[1]] = "x"
os.chdir(sys.argv[2])
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["wave"])
with context.Pool(1) as pool:
    parent, folder, value = pool.apply(os.getppid), pool.apply(os.getcwd), pool.apply(os.getenv, sys.argv[1:2])
    loaded = pool.apply(eval, ("'wave' in __import__('sys').modules",))
    print(json.dumps([open(f"/proc/{parent}/cmdline").read(), folder, value, loaded]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="jobs are forked on Linux alone")
@pytest.mark.parametrize(("name", "forked"), [("NEPHROSCALE_RUN", True), ("OMP_NUM_THREADS", False)])
def test_a_fork_server_is_forked_where_packages_read_the_same_environment(tmp_path, name, forked):
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM, name, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    line, folder, value, loaded = json.loads(done.stdout)
    assert ("support.forked_packages" in line) == forked
    assert ("from multiprocessing.forkserver import main" in line) != forked
    assert (folder, value, loaded) == (str(tmp_path), "x", True)
