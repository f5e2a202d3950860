"""One peer: its read loop, what it has in flight, its answers.

No message ends the connection, and each request is answered exactly once: a method that waits runs in a
task of its own, any other is answered on the spot. Nothing here blocks; a peer that does not read is not read from.

Invariant: no error and no notification leaves without its secrets masked; `_encode` and `notify` see to that.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio import CancelScope, create_task_group, move_on_after
from anyio.abc import TaskGroup

from rpc_server.wire import errors
from rpc_server.wire.byte_streams import Streams
from rpc_server.wire.dispatch import Answer, Call, Dispatcher, Report
from rpc_server.wire.errors import RpcError
from rpc_server.wire.framing import HEAD_BYTES, Decoder, FaultKind, Frame, FramingFault, frame
from rpc_server.wire.in_flight import Deliver, InFlight
from rpc_server.wire.json_text import BeyondLimits, JsonFault, encode, parse
from rpc_server.wire.messages import JsonId, NotARequest, Request, id_in_head, progress_token, read_request
from rpc_server.wire.peer import Peer
from rpc_server.wire.task_pool import TaskPool

logger = logging.getLogger(__name__)

_SILENCING = "notifications/cancelled"
_CANCELLATIONS = {"$/cancelRequest": "id", _SILENCING: "requestId"}
"""The notifications that cancel a call, and their param that names it."""

RefuseBatch = Callable[[list[Any]], str | None]
"""Says why a batch of these values is not taken, None where it is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may ask of the server: [limits] of rpc.toml, where each is explained."""

    max_message_bytes: int
    max_json_depth: int
    max_in_flight: int
    max_batch: int
    max_queued_bytes: int
    drain_s: float
    stop_grace_s: float


async def serve_connection(
    streams: Streams,
    dispatcher: Dispatcher,
    limits: Limits,
    redact: Callable[[Any], Any],
    stop: anyio.Event,
    peer: Peer | None = None,
    refuse_batch: RefuseBatch = lambda values: None,
) -> int:
    """Serve one peer until it says `exit`, closes its side, stops reading for good, or `stop` is set.

    `redact` gives a copy of a JSON value with its secrets masked; it is asked for each error and notification.

    Returns the process's exit status: 1 after an `exit` without `shutdown` or where answers could not be written (a
    reader that is gone is no failure), else 0. End it through `stop`: then every
    call is cancelled and answered within `stop_grace_s`. Cancelling it instead loses answers. `peer` reaches the peer
    from elsewhere meanwhile.
    """
    connection = _Connection(streams, dispatcher, limits, redact, refuse_batch)
    with (peer or Peer()).reached_through(connection.notify):
        return await connection.serve(stop)


class _Connection:
    def __init__(
        self,
        streams: Streams,
        dispatcher: Dispatcher,
        limits: Limits,
        redact: Callable[[Any], Any],
        refuse_batch: RefuseBatch,
    ) -> None:
        self._source, self._sink = streams
        self._dispatcher = dispatcher
        self._limits = limits
        self._redact = redact
        self._refuse_batch = refuse_batch
        self._decoder = Decoder(limits.max_message_bytes)
        self._in_flight = InFlight(limits.max_in_flight)
        self._is_shut_down = False
        self._has_exited = False
        self._tasks: TaskGroup
        self._workers: TaskPool[tuple[Request, Call]]

    async def serve(self, stop: anyio.Event) -> int:
        async with create_task_group() as self._tasks:
            self._workers = TaskPool(self._tasks, self._serve)
            self._tasks.start_soon(self._sink.pump)
            self._tasks.start_soon(self._sink.watch_reader)
            with CancelScope() as going_on:
                self._tasks.start_soon(_cancel_on, self._sink.gone, going_on)
                self._tasks.start_soon(_cancel_on, stop, going_on)
                await self._read()
                await self._drain()
            await self._end()
            self._workers.end()
            self._tasks.cancel_scope.cancel()
        left_rudely = self._has_exited and not self._is_shut_down
        return 1 if left_rudely or self._sink.has_failed else 0

    async def _read(self) -> None:
        """Take what the peer sends, to the end of its stream or until it says `exit`."""
        data = b"\n"
        while data:
            data = await self._source.receive()
            with self._sink.together():
                for piece in self._decoder.feed(data) if data else self._decoder.end():
                    await self._sink.wait_for_room()
                    self._take(piece)
                    if self._has_exited:
                        return

    async def _drain(self) -> None:
        """Give the calls of a peer that has closed its side some time to end."""
        for call in self._in_flight.calls():
            if call.closing_result is not None:
                call.cancel(errors.stopping())
        if not self._has_exited:
            with move_on_after(self._limits.drain_s):
                await self._in_flight.wait_until_empty()
                await self._sink.flush()

    async def _end(self) -> None:
        """Cancel what is left, answer it, and give the answers time to leave."""
        for call in self._in_flight.calls():
            call.cancel(errors.stopping())
        with move_on_after(self._limits.stop_grace_s):
            await self._in_flight.wait_until_empty()
        for call in self._in_flight.calls():
            self._in_flight.settle(call, _refusal(call.id, errors.stopping()))
        with move_on_after(self._limits.stop_grace_s):
            await self._sink.flush()

    def _take(self, piece: Frame) -> None:
        if isinstance(piece, FramingFault):
            self._send(_refusal(id_in_head(piece.head), self._fault_error(piece)))
            return
        try:
            value = parse(piece, self._limits.max_json_depth)
        except JsonFault as fault:
            id_ = id_in_head(piece[:HEAD_BYTES]) if isinstance(fault, BeyondLimits) else None
            self._send(_refusal(id_, errors.parse_error(str(fault))))
            return
        if isinstance(value, list):
            self._take_batch(value)
        else:
            self._take_one(value, self._send)

    def _fault_error(self, fault: FramingFault) -> RpcError:
        if fault.kind is FaultKind.TOO_LARGE:
            return errors.message_too_large(fault.detail, self._limits.max_message_bytes)
        return errors.parse_error(fault.detail)

    def _take_batch(self, values: list[Any]) -> None:
        if not values or len(values) > self._limits.max_batch:
            detail = f"A batch holds 1 to {self._limits.max_batch} calls, not {len(values)}."
            self._send(_refusal(None, errors.invalid_request(detail)))
            return
        refused = self._refuse_batch(values)
        if refused is not None:
            self._refuse_each(values, errors.invalid_request(refused))
            return
        batch = _Batch(len(values), self._encode, self._send_text)
        for index, value in enumerate(values):
            self._take_one(value, partial(batch.put, index), in_batch=True)

    def _refuse_each(self, values: list[Any], error: RpcError) -> None:
        """Refuse the requests of a batch one by one: a peer without batches could not read an array of answers."""
        for value in values:
            try:
                request = read_request(value)
            except NotARequest as fault:
                self._send(_refusal(fault.id, error))
            else:
                if request is not None and not request.is_notification:
                    self._send(_refusal(request.id, error))

    def _take_one(self, value: Any, deliver: Deliver, *, in_batch: bool = False) -> None:
        try:
            request = read_request(value)
        except NotARequest as fault:
            deliver(_refusal(fault.id, errors.invalid_request(fault.detail)))
            return
        if request is None:
            deliver(None)
        else:
            self._begin(request, _muted(deliver) if request.is_notification else deliver, in_batch)

    def _begin(self, request: Request, deliver: Deliver, in_batch: bool) -> None:
        refused = self._refused(request)
        if refused is not None:
            deliver(_refusal(request.id, refused))
        elif request.is_notification and request.method in _CANCELLATIONS:
            self._cancel(request)
            deliver(None)
        elif request.method in ("shutdown", "exit"):
            self._leave(request.method)
            deliver({"jsonrpc": "2.0", "id": request.id, "result": None})
        else:
            self._call(request, deliver, in_batch)

    def _refused(self, request: Request) -> RpcError | None:
        """Why the request is not served at all."""
        if self._is_shut_down and request.method != "exit":
            return errors.invalid_request("The server is shut down; only `exit` is left to say.")
        if not request.is_notification and self._in_flight.find(request.id) is not None:
            return errors.invalid_request("A call with this id is still in flight.")
        return None

    def _leave(self, method: str) -> None:
        if method == "exit":
            self._has_exited = True
        else:
            self._is_shut_down = True

    def _cancel(self, request: Request) -> None:
        """Cancel the call that the notification names; one that is not in flight is ignored."""
        if isinstance(request.params, dict):
            id_ = request.params.get(_CANCELLATIONS[request.method])
            call = self._in_flight.find(id_) if isinstance(id_, str | int | float) else None
            if call is not None and not isinstance(id_, bool):
                silently = request.method == _SILENCING and not self._dispatcher.answers_cancelled(call.method)
                call.cancel(errors.cancelled(), silently=silently)

    def _call(self, request: Request, deliver: Deliver, in_batch: bool) -> None:
        call = Call(request.id, request.method, in_batch)
        if not self._dispatcher.may_wait(request.method):
            deliver(self._dispatcher.answer_now(request, call))
        elif self._in_flight.is_full:
            if request.is_notification:
                logger.warning("A notification was dropped: too many calls are in flight.")
            deliver(_refusal(request.id, errors.overloaded(self._limits.max_in_flight)))
        else:
            call.notify = partial(self._notify_of, call)
            call.progress = self._progress_of(request, call)
            self._in_flight.add(call, deliver)
            self._workers.begin((request, call))

    async def _serve(self, job: tuple[Request, Call]) -> None:
        request, call = job
        try:
            answer = await self._dispatcher.answer(request, call)
        except Exception as error:  # noqa: BLE001 - one call has failed, not the connection
            answer = _refusal(call.id, errors.unexpected(error))
        except BaseException:
            self._in_flight.settle(call, _refusal(call.id, errors.stopping()))
            raise
        # The answer leaves at once where no other could go along with it.
        with self._sink.together() if self._in_flight.is_last else nullcontext():
            self._in_flight.settle(call, None if call.is_silenced else answer)

    def _progress_of(self, request: Request, call: Call) -> Report | None:
        token = None if request.is_notification else progress_token(request.params)
        return None if token is None else partial(self._send_progress, call, token)

    def _send_progress(self, call: Call, token: str | int, progress: float, message: str, data: Any) -> None:
        params = {"progressToken": token, "progress": progress, "message": message, "data": data}
        self._notify_of(call, "notifications/progress", params)

    def _notify_of(self, call: Call, method: str, params: dict[str, Any]) -> None:
        """Nothing after the answer, nor once it has been cancelled."""
        if call in self._in_flight and call.cancel_error is None:
            self.notify(method, params)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification; nothing to a peer that does not read."""
        if not self._sink.is_full:
            message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
            if params:
                message["params"] = self._redact(params)
            self._send_text(encode(message))

    def _send(self, answer: Answer | None) -> None:
        if answer is not None:
            self._send_text(self._encode(answer))

    def _send_text(self, text: bytes) -> None:
        self._sink.write(frame(text, self._decoder.framing))

    def _encode(self, answer: Answer) -> bytes:
        try:
            if "error" in answer:
                return encode({**answer, "error": self._redact(answer["error"])})
            return encode(answer)
        except (TypeError, ValueError, RecursionError) as error:
            return encode(_refusal(answer["id"], errors.unexpected(error)))


class _Batch:
    """Gathers the answers of one batch, in the order of its calls, and sends them as one array once all are there."""

    def __init__(self, size: int, encode_answer: Callable[[Answer], bytes], send: Callable[[bytes], None]) -> None:
        self._texts: list[bytes | None] = [None] * size
        self._missing = size
        self._encode = encode_answer
        self._send = send

    def put(self, index: int, answer: Answer | None) -> None:
        self._texts[index] = None if answer is None else self._encode(answer)
        self._missing -= 1
        if not self._missing:
            texts = [text for text in self._texts if text is not None]
            if texts:
                self._send(b"[" + b",".join(texts) + b"]")


async def _cancel_on(event: anyio.Event, scope: CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _refusal(id_: JsonId, error: RpcError) -> Answer:
    return {"jsonrpc": "2.0", "id": id_, "error": error}


def _muted(deliver: Deliver) -> Deliver:
    """A notification gets no answer, not even an error."""
    return lambda _: deliver(None)
