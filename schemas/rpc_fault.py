"""A protocol error as a value: what JSON-RPC 2.0, section 5.1, calls an error object. Imports nothing."""

from typing import Any


class RpcFault(Exception):
    """A protocol error to answer with: a JSON-RPC `code`, its `message`, and `data` where there is some."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
