"""A loopback server that speaks as much of the OpenAI chat API as Pipelex needs, and the home that points at it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "stub-1"


class ModelStub:
    """Answers every call with `answer`, or with `status` and `error` where that is set; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = "Because."
        self.status = 200
        self.error = ""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = ""

    def reply(self, body: dict[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        """What to answer to one call."""
        self.asked.append(body)
        self.keys.append(authorization.removeprefix("Bearer "))
        if self.status != 200:
            return self.status, {"error": {"message": self.error or "refused", "type": "error", "code": "error"}}
        message = {"role": "assistant", "content": self.answer}
        return 200, {
            "id": "stub",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
        }


@contextmanager
def model_stub() -> Iterator[ModelStub]:
    """A stub that serves for the block."""
    stub = ModelStub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = stub.reply(body, self.headers.get("Authorization", ""))
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_endpoint(config_dir: Path, stub: ModelStub) -> None:
    """Point the backend `loop` at the stub, from a home or from a project's `.pipelex`."""
    inference = config_dir / "inference"
    inference.mkdir(parents=True, exist_ok=True)
    (inference / "backends_override.toml").write_text(
        f'[loop]\ndisplay_name = "Loopback"\nenabled = true\nendpoint = "{stub.url}"\napi_key = "${{STUB_API_KEY}}"\n'
    )


def write_backend(pipelex_home: Path, stub: ModelStub) -> None:
    """Let Pipelex find the stub's model as the backend `loop`, with prices of 1 and 2 dollars a million tokens."""
    write_endpoint(pipelex_home, stub)
    inference = pipelex_home / "inference"
    (inference / "backends").mkdir(exist_ok=True)
    (inference / "backends" / "loop.toml").write_text(
        "[defaults]\n"
        'model_type = "llm"\nsdk = "openai"\nstructure_method = "instructor/openai_tools"\nthinking_mode = "none"\n'
        f'[{MODEL}]\nmodel_id = "{MODEL}"\ninputs = ["text"]\noutputs = ["text", "structured"]\n'
        "costs = { input = 1, output = 2 }\n"
    )
    (inference / "routing_profiles_override.toml").write_text(
        'active = "loop_only"\n[profiles.loop_only]\ndescription = "loopback"\ndefault = "loop"\n'
    )
