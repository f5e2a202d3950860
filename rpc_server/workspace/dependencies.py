"""The packages a method calls by address, found where they are installed, so that a run carries them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tomli

from rpc_server.workspace.method_folders import MANIFEST_NAME, TreeBounds, read_package
from rpc_server.workspace.paths import TooLarge, Unreadable, read_file
from schemas.method_source import Files

METHODS_DIR = Path(".mthds") / "methods"
_MANIFEST_BYTES = 1 << 20
# `"github.com/acme/methods/documents@v1->domain.pipe"`: an alias that holds a slash is an address.
_REFERENCE = re.compile(r"""["']([^"'\s]*/[^"'\s]*?)->""")


@dataclass(frozen=True)
class Package:
    """An installed package: `address` is what a reference names it by, without a tag."""

    address: str
    directory: Path


def addresses_in(texts: Iterable[str]) -> set[str]:
    """Every address that some bundles call, without tags."""
    return {match.split("@", 1)[0] for text in texts if "->" in text for match in _REFERENCE.findall(text)}


@dataclass(frozen=True)
class Store:
    """A folder with one installed package in each of its folders."""

    directory: Path
    follows_links: bool
    """Whether a package may be a link to a folder elsewhere: only in the user's own store."""


def find_packages(addresses: set[str], stores: Iterable[Store], bounds: TreeBounds) -> dict[str, Files]:
    """Address -> files, of each package that the first store to hold it has; the rest are left to Pipelex to refuse.

    Raises `ProblemError` for a package that cannot be read.
    """
    wanted = {address.casefold() for address in addresses}
    found: dict[str, Files] = {}
    for package in (package for store in stores for package in _packages(store)):
        if package.address.casefold() in wanted:
            wanted.discard(package.address.casefold())
            found[package.address] = read_package(package.directory, package.address, bounds)
    return found


def stores_for(start: Path | None, top: Path | None, user_home: Path | None) -> list[Store]:
    """Where packages may be installed, nearest first: from `start` up to `top`, then the user's own."""
    above = (
        [] if start is None or top is None else [path for path in (start, *start.parents) if path.is_relative_to(top)]
    )
    stores = [Store(directory / METHODS_DIR, follows_links=False) for directory in above]
    if user_home is not None:
        stores.append(Store(user_home / METHODS_DIR, follows_links=True))
    return stores


def _packages(store: Store) -> Iterator[Package]:
    try:
        directories = sorted(store.directory.iterdir())
    except OSError:
        return
    for directory in directories:
        if directory.name.startswith(".") or (directory.is_symlink() and not store.follows_links):
            continue
        address = _address(directory)
        if address is not None:
            yield Package(address=address, directory=directory)


def _address(directory: Path) -> str | None:
    """The manifest's address and name, or None for a folder that is no package."""
    try:
        manifest = tomli.loads(read_file(directory / MANIFEST_NAME, _MANIFEST_BYTES).decode("utf-8"))
    except (Unreadable, TooLarge, UnicodeDecodeError, tomli.TOMLDecodeError):
        return None
    package = manifest.get("package")
    if not isinstance(package, dict) or not isinstance(package.get("address"), str):
        return None
    name = package.get("name")
    return f"{package['address']}/{name if isinstance(name, str) else directory.name}"
