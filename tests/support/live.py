"""Live runs of the real server against a loopback model."""

from pathlib import Path
from typing import Any

from tests.support.bundles import MODEL as BUNDLE
from tests.support.client import RpcClient
from tests.support.model_stub import MODEL, ModelStub, write_backend
from tests.support.mthds_server import serve

ASK = {
    "mthds_contents": [BUNDLE.replace('prompt = "$question"', f'prompt = "$question"\nmodel = "{MODEL}"')],
    "inputs": {"question": "Why?"},
}
KEY = "stub-key-1234567890"


def served(home: Path, stub: ModelStub, *flags: str, **env: str) -> RpcClient:
    """A server whose one backend is the stub, with whatever key it may find."""
    write_backend(home / "pipelex", stub)
    return serve(home, *flags, env={"NO_PROXY": "127.0.0.1", **env})


def ask(client: RpcClient, **more: Any) -> Any:
    return client.result("execute", {**ASK, **more})
