"""Signals that ask the process to end."""

import signal

import anyio

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def stop_on_signal(stop: anyio.Event) -> None:
    """Set `stop` at the first of `STOP_SIGNALS`; a second one ends the process as if nobody listened."""
    with anyio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async for _ in signals:
            stop.set()
            return
