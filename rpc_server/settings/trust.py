"""Which projects' `.pipelex` settings count: those the user has trusted, each by its real path.

Trust belongs to the path, not to what lies there: settings that change later, or another checkout at the same place,
are trusted as well; a project that is moved is not. It is kept with the user's settings, never inside a project.
"""

import json
from pathlib import Path

from orchestrators.private_files import NotPrivate, check_private, write_private
from rpc_server.settings.layers import ConfigurationFault


def trust_file() -> Path:
    """The file that holds the trusted paths; may not exist."""
    from platformdirs import user_config_path

    return user_config_path("mthds-rpc", appauthor=False) / "trusted_projects.json"


def trusted_projects() -> list[Path]:
    """The trusted folders, sorted.

    Raises `ConfigurationFault` where the file is broken, or others may change it: they could trust a project for us.
    """
    path = trust_file()
    try:
        check_private(path.parent)
        check_private(path)
        document = json.loads(path.read_bytes())
        return sorted(Path(item) for item in document["trusted"])
    except FileNotFoundError:
        return []
    except NotPrivate as error:
        raise ConfigurationFault(error.path, f"{error.reason}; {error.remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationFault(path, "the list of trusted projects cannot be read; remove the file") from error


def is_trusted(directory: Path) -> bool:
    """Whether this very folder is trusted; what lies below it is not, unless it belongs to the same project."""
    return directory.resolve() in trusted_projects()


def trust(directory: Path) -> None:
    """Trust a folder from now on."""
    _write(sorted({*trusted_projects(), directory.resolve()}))


def distrust(directory: Path) -> bool:
    """Trust a folder no longer; False where it was not trusted."""
    trusted = trusted_projects()
    if directory.resolve() not in trusted:
        return False
    _write([path for path in trusted if path != directory.resolve()])
    return True


def _write(trusted: list[Path]) -> None:
    text = json.dumps({"trusted": [str(item) for item in trusted]}, indent=2)
    write_private(trust_file(), f"{text}\n".encode())
