"""Background tasks of the server: one that fails is logged and ends alone."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.abc import TaskGroup

logger = logging.getLogger(__name__)


class Background:
    """Begins tasks in a task group, which outlives the failure of each."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any, name: object = None) -> None:
        """Begin a task. What it raises is logged."""
        label = name or getattr(func, "__qualname__", func)
        self._tasks.start_soon(_alone, label, func, args, name=label)


async def _alone(label: object, func: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> None:
    try:
        await func(*args)
    except Exception:
        logger.exception("A background task failed and has ended: %s", label)
