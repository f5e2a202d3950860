"""`mthds-rpc version`."""

import sys

from rpc_server import versions


def run(arguments: list[str]) -> int:
    """Print the versions."""
    if arguments:
        print("usage: mthds-rpc version", file=sys.stdout if arguments[0] in ("-h", "--help") else sys.stderr)
        return 0 if arguments[0] in ("-h", "--help") else 2
    python = ".".join(str(part) for part in sys.version_info[:3])
    print(f"mthds-rpc {versions.SERVER}")
    print(f"Pipelex {versions.PIPELEX}, MTHDS protocol {versions.MTHDS_PROTOCOL}, Python {python}")
    return 0
