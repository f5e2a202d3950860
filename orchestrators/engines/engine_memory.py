"""What engines take of the machine's memory."""

import os
from pathlib import Path

# Fields of /proc/PID/stat behind the command, as proc(5) numbers them from 3 on.
_SESSION = 6 - 3
_RESIDENT_PAGES = 24 - 3


def resident_by_session(proc: Path = Path("/proc")) -> dict[int, int] | None:
    """Session id -> bytes that its processes have in memory; None if the system does not report it.

    An engine leads a session, so that what a method starts counts with it. Pages that processes share count for each.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    resident: dict[int, int] = {}
    try:
        names = os.listdir(proc)  # noqa: PTH208 - a few hundred names, twice a second
    except OSError:
        return None
    for name in names:
        if name.isdigit():
            session, pages = _stat(proc / name / "stat")
            resident[session] = resident.get(session, 0) + pages * page
    return resident or None


def _stat(file: Path) -> tuple[int, int]:
    try:
        # A command may hold spaces and brackets; the last bracket is its end.
        fields = file.read_bytes().rpartition(b")")[2].split()
    except OSError:
        # It has ended meanwhile.
        return 0, 0
    return int(fields[_SESSION]), int(fields[_RESIDENT_PAGES])
