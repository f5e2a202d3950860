"""What asks the process to end besides its peer: signals, and the death of its parent."""

import os
import signal

import anyio

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def stop_on_signal(stop: anyio.Event) -> None:
    """Set `stop` at the first of `STOP_SIGNALS`; a second one ends the process as if nobody listened."""
    with anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for _ in signals:
            stop.set()
            return


async def stop_when_orphaned(stop: anyio.Event, interval_s: float = 5.0) -> None:
    """Set `stop` once the parent has died, looked for every `interval_s` seconds.

    A process that the parent left behind may hold the pipes open, so that their end alone does not tell.
    """
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells a process that its parent died
        await anyio.sleep(interval_s)
    stop.set()
