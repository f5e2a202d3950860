"""How to start the small server of `tests.support.server`."""

import sys
from typing import Any

from tests.support.client import RpcClient

COMMAND = [sys.executable, "-P", "-m", "tests.support.server"]


def wire_server(*limits: str, **client: Any) -> RpcClient:
    """A client over it; each of `limits` is `name=value`."""
    return RpcClient([*COMMAND, *limits], **client)
