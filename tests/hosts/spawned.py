"""How the hosts of these tests spawn the server: as a user's host does, by command, environment and directory."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.bundles import GREETING, SEQUENCE
from tests.support.mcp_client import COMMAND
from tests.support.mcp_methods import Gate
from tests.support.mthds_server import isolated_env


@dataclass(frozen=True)
class Spawned:
    """A server that has not been started yet."""

    home: Path
    workspace: Path
    gate: Gate
    """What the method `waiting` waits for."""

    @property
    def command(self) -> list[str]:
        return [*COMMAND, "--allow-python"]

    @property
    def env(self) -> dict[str, str]:
        return isolated_env(self.home)

    @property
    def as_json(self) -> str:
        """What a host's script in another language is told of it."""
        return json.dumps(
            {
                "command": self.command[0],
                "args": self.command[1:],
                "env": self.env,
                "cwd": str(self.workspace),
                "begun": str(self.gate.begun),
                "source": GREETING,
            }
        )


def server_in(home: Path) -> Spawned:
    """A server that a host may spawn, in a workspace of three methods: `greet.mthds`, `chain.mthds` and `waiting/`."""
    workspace = home / "workspace"
    gate = Gate(home)
    files = {"greet.mthds": GREETING, "chain.mthds": SEQUENCE}
    files |= {f"waiting/{name}": text for name, text in gate.files().items()}
    for name, text in files.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    return Spawned(home, workspace, gate)
