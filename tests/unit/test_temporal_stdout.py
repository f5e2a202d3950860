"""Nothing of temporalio's core reaches stdout, which is the protocol's: its words go to the log."""

import subprocess
import sys
from pathlib import Path

from tests.support.cli import COMMAND
from tests.support.ledgers import PATIENCE_S, until, write_settings
from tests.support.mthds_server import isolated_env
from tests.support.temporal import temporal_server

ASKING = """
import asyncio, logging, os, socket, sys
from temporalio.client import Client
from orchestrators.temporal.sdk_runtime import RUNTIME

logging.basicConfig(stream=sys.stderr)


async def ask(port):
    client = await Client.connect(f"127.0.0.1:{port}", runtime=RUNTIME, lazy=True)
    try:
        await client.count_workflows()
    except RuntimeError as error:
        print(error, file=sys.stderr)


with socket.socket() as closed:
    closed.bind(("127.0.0.1", 0))
    asyncio.run(ask(closed.getsockname()[1]))
os._exit(0)
"""


def test_a_client_that_reaches_nobody_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKING], env=isolated_env(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S
    )

    assert (done.returncode, done.stdout) == (0, "")
    assert "Failed client connect" in done.stderr


def test_a_worker_whose_server_goes_away_writes_nothing(tmp_path: Path) -> None:
    with temporal_server(tmp_path) as server:
        config = write_settings(tmp_path, "temporal", address=server.address)
        command = [*COMMAND, "worker", "--orchestration-mode", "temporal", "--config", str(config)]
        log = tmp_path / "worker.log"
        with log.open("wb") as stderr:
            worker = subprocess.Popen(
                command, env=isolated_env(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
            )
        try:
            until(lambda: "takes up runs" in log.read_text(), "the worker")

            server.stop()
            until(lambda: "sdk_core" in log.read_text(), "a word of temporalio's core")

            worker.terminate()
            stdout, _ = worker.communicate(timeout=PATIENCE_S)
        finally:
            worker.kill()
            worker.wait()

    assert (worker.returncode, stdout) == (0, b"")
