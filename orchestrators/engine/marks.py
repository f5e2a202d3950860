"""How far the jobs of an engine are: kept in files, which outlive a crash and wake no process on every run.

Three files hold ids of jobs. The engine writes those that it has taken up, and those that have begun a pipe. The owner
writes those that it withdraws. Each side writes first and then reads the other's file, so that a withdrawn job is never
run, even by an engine that stood still meanwhile.
"""

import os
import struct
from pathlib import Path

_JOB = struct.Struct(">Q")
_TAKEN, _BEGUN, _WITHDRAWN = "taken", "begun", "withdrawn"
_MANY = 10_000
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class JobMarks:
    """The engine's side."""

    def __init__(self, work_dir: str) -> None:
        self._taken = os.open(Path(work_dir) / _TAKEN, _APPEND, 0o600)
        self._begun = os.open(Path(work_dir) / _BEGUN, _APPEND, 0o600)
        self._withdrawn = os.open(Path(work_dir) / _WITHDRAWN, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = 0

    def take(self, job_id: int) -> bool:
        """Take a job; false if it was withdrawn and must not be run."""
        os.write(self._taken, _JOB.pack(job_id))
        self._count += 1
        size = os.fstat(self._withdrawn).st_size
        return size == 0 or job_id not in _ids(os.pread(self._withdrawn, size, 0))

    def begin(self, job_id: int) -> None:
        """From here on the job may have done something."""
        os.write(self._begun, _JOB.pack(job_id))

    def forget(self) -> None:
        """No job is under way; keep the files small."""
        if self._count > _MANY:
            os.ftruncate(self._taken, 0)
            os.ftruncate(self._begun, 0)
            self._count = 0


def begun_jobs(work_dir: str) -> set[int]:
    """Read by the owner once the engine has ended. Raises `OSError` where they cannot be read."""
    return _read(Path(work_dir) / _BEGUN)


def withdraw(work_dir: str, job_id: int) -> bool:
    """Withdraw a job from an engine that does not answer; false if the engine has taken it, or may be doing so.

    Raises `OSError` if that cannot be known.
    """
    withdrawn = os.open(Path(work_dir) / _WITHDRAWN, _APPEND, 0o600)
    try:
        os.write(withdrawn, _JOB.pack(job_id))
    finally:
        os.close(withdrawn)
    return job_id not in _read(Path(work_dir) / _TAKEN)


def _read(file: Path) -> set[int]:
    try:
        return _ids(file.read_bytes())
    except FileNotFoundError:
        return set()


def _ids(written: bytes) -> set[int]:
    return {job_id for (job_id,) in _JOB.iter_unpack(written[: len(written) // _JOB.size * _JOB.size])}
