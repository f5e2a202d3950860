"""Ends coverage in processes that have nothing to tell: on PYTHONPATH, Python reads this after it has begun to measure.

An engine ends by SIGKILL, which leaves no data, and Pipelex's API and pip run nothing of ours. Measuring them all the
same would double what each of them costs.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if "coverage" in sys.modules and {"orchestrators.engine", "uvicorn", "pip"} & set(sys.orig_argv):
    measuring = sys.modules["coverage"].Coverage.current()
    if measuring is not None:
        measuring.stop()

# This hides one that a test has for itself.
_theirs = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if Path(entry) != Path(__file__).parent])
if _theirs is not None and _theirs.loader is not None:
    _theirs.loader.exec_module(module_from_spec(_theirs))
