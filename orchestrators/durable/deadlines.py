"""When callers that wait for a run end it themselves, since its worker is frozen or away.

A change of the wall clock after the start of this process has no effect, so that a clock that jumps ends no run early.
"""

import math
import time

# How long a worker may take, after the deadline, to stop a run and to write its end.
_GRACE_S = 1.5
# The wall clock as it was when this process began to serve, and the clock that only goes forward.
_WALL, _STEADY = time.time(), time.monotonic()


def patience_s(created_at: float, deadline: float | None) -> float:
    """Seconds until a run has surely had its time; infinite without a deadline, zero or less once it is late.

    `created_at` and `deadline` are seconds since the epoch, by the clock of the process that asked for the run. If the
    run is older than this process, how long it has taken is not known here: it gets its whole time from now on.
    """
    if deadline is None or not math.isfinite(deadline - created_at):
        return math.inf
    limit = deadline - created_at
    if created_at >= _WALL:
        limit = min(limit, deadline - (_WALL + time.monotonic() - _STEADY))
    return limit + _GRACE_S
