"""What asks the process to end besides its peer: signals, and the death of its parent or of its client."""

import os
import signal

import anyio

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def stop_on_signal(stop: anyio.Event) -> None:
    """Set `stop` at the first of `STOP_SIGNALS`; a second one ends the process at once."""
    with anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for _ in signals:
            stop.set()
            return


async def stop_when_orphaned(stop: anyio.Event, interval_s: float = 5.0) -> None:
    """Set `stop` once the parent has died, looked for every `interval_s` seconds.

    A process that the parent left behind may hold the pipes open, so that their end alone does not tell.
    """
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - no signal says that the parent died
        await anyio.sleep(interval_s)
    stop.set()


async def stop_when_dead(stop: anyio.Event, pid: int, interval_s: float = 5.0) -> None:
    """Set `stop` once there is no process `pid`: at once where the system tells, else looked for like the parent."""
    try:
        await _wait_for_end(pid)
    except OSError:
        while _is_alive(pid):  # noqa: ASYNC110 - this system tells no process of the end of another
            await anyio.sleep(interval_s)
    stop.set()


async def _wait_for_end(pid: int) -> None:
    """Raises OSError where the system cannot tell."""
    if not hasattr(os, "pidfd_open"):
        raise OSError("no descriptors of processes")
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It belongs to another user.
        return True
    return True
