"""Ends coverage in processes that have nothing to tell: on PYTHONPATH, Python reads this after it has begun to measure.

An engine ends by SIGKILL, which leaves no data, and Pipelex's API and pip run nothing of ours. Measuring them all the
same would double what each of them costs.
"""

import sys

if "coverage" in sys.modules and {"orchestrators.engine", "uvicorn", "pip"} & set(sys.orig_argv):
    measuring = sys.modules["coverage"].Coverage.current()
    if measuring is not None:
        measuring.stop()
