"""Which jobs of an engine have begun a pipe: told in a file, which outlives a crash and wakes nobody on every run."""

import os
import struct
from pathlib import Path

_JOB = struct.Struct(">Q")
_NAME = "begun"
_MANY = 10_000


class BegunJobs:
    """Written by an engine."""

    def __init__(self, work_dir: str) -> None:
        self._fd = os.open(Path(work_dir) / _NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

        self._count = 0

    def add(self, job_id: int) -> None:
        """From here on the job may have done something."""
        os.write(self._fd, _JOB.pack(job_id))
        self._count += 1

    def forget(self) -> None:
        """No job is under way; keep the file small."""
        if self._count > _MANY:
            os.ftruncate(self._fd, 0)
            self._count = 0


def begun_jobs(work_dir: str) -> set[int]:
    """Read by the owner once the engine has ended."""
    try:
        written = (Path(work_dir) / _NAME).read_bytes()
    except FileNotFoundError:
        return set()
    return {job_id for (job_id,) in _JOB.iter_unpack(written[: len(written) // _JOB.size * _JOB.size])}
