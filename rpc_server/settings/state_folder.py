"""The folder of this user's state: no other user may own it or write to it."""

from collections.abc import Iterator
from pathlib import Path

from orchestrators.private_files import NotPrivate, check_private
from rpc_server.settings.layers import ConfigurationFault


def check_state(state_dir: Path) -> None:
    """Raise `ConfigurationFault` where another user owns, or may write to, what decides here. Missing is well.

    What lies in the folder of each run is not looked at: no other user gets there through the folders above.
    """
    try:
        for path in (state_dir, *_entries(state_dir), *_entries(state_dir / "dbos"), *_entries(state_dir / "mcp")):
            check_private(path)
    except NotPrivate as error:
        remedy = f"{error.remedy}, or set XDG_STATE_HOME to a folder of your own"
        raise ConfigurationFault(error.path, f"{error.reason}; {remedy}") from error


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError:
        # Missing or unreadable: the code that needs it reports that.
        return
