"""What somebody else who may start workflows in our task queue starts."""

from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from orchestrators.plugins.testing.subject import request
from orchestrators.temporal.memo import Asked
from orchestrators.temporal.names import ASKED, RUN
from schemas.json_types import Json
from schemas.method_source import MethodSource
from schemas.runs import RunRequest
from tests.support.bundles import GREETING

TOO_DEEP = 300
"""More levels than Pydantic and Temporal's converter are asked to read."""

NO_JSON = RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\xff"))
UNREADABLE = {
    "half-json": RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"request": ')),
    "no-encoding": RawValue(Payload(data=b"{}")),
    "no-utf-8": RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'"\xff\xfe"')),
    "many-digits": RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"9" * 10_000)),
    "bottomless": RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"[" * 100_000)),
    "no-json": NO_JSON,
}
"""Payloads that no converter reads."""
DOCUMENT = GREETING.replace('name = "Text"', 'name = "Document"').replace("{{ name }}", "{{ name.url }}")


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def asked_for(run_id: str, **more: Any) -> RunRequest:
    return request("temporal", MethodSource(mthds_contents=[GREETING]), {"name": "Ann"}, run_id, **more)


def order_of(run: Any, **more: Any) -> Json:
    """What our server starts a workflow with."""
    parcel = run if not isinstance(run, RunRequest) else {"inline": run.model_dump(mode="json", exclude_none=True)}
    return {"request": parcel, "deadline": None, "heartbeat_timeout_s": 2.5, "retry_pause_s": 0.1, **more}


def memo_of(run: RunRequest, **more: Any) -> Json:
    return {ASKED: Asked.of(run).model_dump(exclude_none=True) | more}


async def start_workflow(client: Client, queue: str, run_id: str, arguments: list[Any], memo: Json) -> None:
    await client.start_workflow(RUN, args=arguments, id=run_id, task_queue=queue, memo=memo)


def code_of(answer: Json) -> str:
    return str(answer["error"]["data"]["code"]) if "error" in answer else "none"
