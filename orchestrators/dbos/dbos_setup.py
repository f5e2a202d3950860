"""DBOS, changed before its first use: it writes no advertisement and reads no pickle."""

import json
import logging
from typing import Any, NoReturn

from dbos import DBOS as DBOS
from dbos import DBOSClient as DBOSClient
from dbos import _serialization as serialization
from dbos import error

NoSuchWorkflow = error.DBOSNonExistentWorkflowError

APPLICATION = "mthds-rpc"
QUEUE = "mthds-runs"
WORKFLOW = "run_method"
WIRE_VERSION = "1"
"""What DBOS calls the application's version: workers take up the runs of this one. It changes with the shape of a
queued request, never with a release."""

JSON = serialization.DBOSPortableJSONSerializer()


class PickleRefused(Exception):
    """A row of the database holds a pickle."""


def _refuse_pickle(_: object, serialized_data: Any) -> NoReturn:
    # A row names its own decoder: a process that may write the database could run code in one that reads it.
    raise PickleRefused("a row of the database holds a pickle, which is never read")


def _ascii_json(_: object, value: Any) -> str:
    # In ASCII half a surrogate pair survives, which no database takes as it is.
    return json.dumps(value, separators=(",", ":"))


serialization.DefaultSerializer.deserialize = _refuse_pickle  # type: ignore[assignment,method-assign]
serialization.DBOSPortableJSONSerializer.serialize = _ascii_json  # type: ignore[assignment,method-assign]

_logger = logging.getLogger("dbos")
_logger.setLevel(logging.WARNING)
# With a handler there, DBOS adds none of its own; the root's masks secrets.
_logger.addHandler(logging.NullHandler())


def log_through_root() -> None:
    """Undo what DBOS does to its logger when it is set up."""
    _logger.propagate = True
    _logger.setLevel(logging.WARNING)


def hush() -> None:
    """Silence DBOS while the process ends."""
    _logger.setLevel(logging.CRITICAL)
