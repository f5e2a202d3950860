"""Requests and results as payloads in Temporal: inline, or by a claim check if they are large.

A payload is `{inline: value, bytes}`, or `{sha256, bytes}` of what the artifact store keeps under the run's id.
"""

import json
import re
from typing import Any

import anyio.to_thread

from orchestrators.durable.artifact_store import ArtifactStore
from orchestrators.temporal.problems import misconfigured, too_large, unreadable
from orchestrators.temporal.settings import MOST_INLINE_BYTES, TemporalSettings
from schemas.json_types import Json
from schemas.problem import ProblemError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_STORE = "Something lies in the artifact store of another machine, and `artifact_store` is not set on this one."


class PayloadStore:
    """Packs and unpacks; `store` is where what is too large goes."""

    def __init__(self, store: ArtifactStore | None, inline_bytes: int) -> None:
        self.store = store
        self._inline_bytes = inline_bytes if store is not None else MOST_INLINE_BYTES

    @classmethod
    def of(cls, settings: TemporalSettings) -> "PayloadStore":
        """By the settings. Raises `ProblemError` for a store that cannot be used."""
        store = None
        if settings.artifact_store:
            try:
                store = ArtifactStore(settings.artifact_store)
            except (OSError, ValueError, ImportError) as error:
                detail = f"The setting artifact_store of rpc_temporal.toml cannot be used: {error}."
                raise ProblemError(misconfigured(detail)) from error
        return cls(store, settings.inline_bytes)

    async def pack(self, run_id: str, value: Json) -> Json:
        """A payload of a JSON value. Raises `request.too_large` before anything is sent."""
        content = json.dumps(value, separators=(",", ":")).encode()
        if len(content) <= self._inline_bytes:
            return {"inline": value, "bytes": len(content)}
        if self.store is None:
            raise ProblemError(too_large(len(content), self._inline_bytes))
        digest = await anyio.to_thread.run_sync(self.store.put, run_id, content)
        return {"sha256": digest, "bytes": len(content)}

    async def unpack(self, run_id: str, payload: Any) -> Json:
        """The value of a payload. Raises `ProblemError` if it is not a payload, or the store does not have it."""
        members = payload if isinstance(payload, dict) else {}
        value = members["inline"] if "inline" in members else await self._fetched(run_id, members.get("sha256"))
        if not isinstance(value, dict):
            raise ProblemError(unreadable(run_id))
        return value

    async def _fetched(self, run_id: str, digest: Any) -> Any:
        # It becomes part of a path, and anyone who may start workflows can choose it.
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ProblemError(unreadable(run_id))
        if self.store is None:
            raise ProblemError(misconfigured(_NO_STORE))
        content = await anyio.to_thread.run_sync(self.store.get, run_id, digest)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ProblemError(unreadable(run_id)) from None
