"""The packages a method calls by address, found where they are installed, so that a run carries them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rpc_server.workspace.held_folder import HeldFolder, Kind, TooLarge, Unreadable
from rpc_server.workspace.method_folders import MANIFEST_NAME, MAX_TOML_BYTES, TreeBounds
from schemas.foreign_toml import BadToml, parse_toml_bytes
from schemas.method_source import Files

_STORE = (".mthds", "methods")
# What follows a quote: the next begins where this ends, so that a text is gone through once.
_QUOTED = re.compile(r"""["'][^"'\s]*""")


@dataclass(frozen=True)
class Store:
    """A folder with one installed package in each of its folders."""

    top: Path
    """Absolute and resolved."""
    parts: tuple[str, ...]
    """The names that lead from there to the store."""
    follows_links: bool
    """Whether it, and a package in it, may be a link to a folder elsewhere: only in the user's own store."""


@dataclass(frozen=True)
class Package:
    """An installed package: `address` is what a reference names it by, without a tag."""

    address: str
    held: HeldFolder
    parts: tuple[str, ...]


def addresses_in(texts: Iterable[str]) -> set[str]:
    """Every address that some bundles call, without tags."""
    return {address for text in texts if "->" in text for address in _addresses_in(text)}


def find_packages(
    addresses: set[str], stores: Iterable[Store], bounds: TreeBounds, deadline: float
) -> dict[str, Files]:
    """Address -> files, of each package that the first store to hold it has; the rest are left to Pipelex to refuse.

    `deadline` is on the monotonic clock. Raises `ProblemError` for a package that cannot be read, and `OutOfTime`.
    """
    from rpc_server.workspace.reading import read_package

    wanted = {address.casefold() for address in addresses}
    found: dict[str, Files] = {}
    for store in stores:
        for package in _packages(store, deadline):
            if package.address.casefold() in wanted:
                wanted.discard(package.address.casefold())
                found[package.address] = read_package(package.held, package.parts, package.address, bounds)
    return found


def stores_for(start: Path | None, top: Path | None, user_home: Path | None) -> list[Store]:
    """Where packages may be installed, nearest first: from `start` up to `top`, then the user's own."""
    stores = []
    if start is not None and top is not None and start.is_relative_to(top):
        parts = start.relative_to(top).parts
        stores = [Store(top, (*parts[:depth], *_STORE), follows_links=False) for depth in range(len(parts), -1, -1)]
    if user_home is not None:
        stores.append(Store(user_home, _STORE, follows_links=True))
    return stores


def _addresses_in(text: str) -> Iterator[str]:
    """`"github.com/acme/methods/documents@v1->domain.pipe"`: an alias that holds a slash is an address."""
    for match in _QUOTED.finditer(text):
        quoted = match[0]
        slash = quoted.rfind("/", 0, max(quoted.rfind("->"), 0))
        if slash > 0:
            yield quoted[1 : quoted.index("->", slash)].split("@", 1)[0]


def _packages(store: Store, deadline: float) -> Iterator[Package]:
    top, parts = store.top, store.parts
    if store.follows_links:
        top, parts = _resolved(top.joinpath(*parts)), ()
    try:
        with HeldFolder.open(top, deadline) as held:
            for name, kind in sorted(held.entries(parts).items()):
                if name.startswith("."):
                    continue
                if kind is Kind.FOLDER:
                    yield from _package(held, (*parts, name), name)
                elif kind is Kind.LINK and store.follows_links:
                    yield from _linked_package(top / name, deadline)
    except (OSError, Unreadable):
        return


def _linked_package(link: Path, deadline: float) -> Iterator[Package]:
    try:
        with HeldFolder.open(_resolved(link), deadline) as held:
            yield from _package(held, (), link.name)
    except Unreadable:
        return


def _package(held: HeldFolder, parts: tuple[str, ...], folder: str) -> Iterator[Package]:
    """The package with the manifest's address and name; nothing for a folder that is no package."""
    try:
        manifest = parse_toml_bytes(held.read((*parts, MANIFEST_NAME), MAX_TOML_BYTES))
    except (Unreadable, TooLarge, BadToml):
        return
    package = manifest.get("package")
    if isinstance(package, dict) and isinstance(package.get("address"), str):
        name = package.get("name")
        yield Package(f"{package['address']}/{name if isinstance(name, str) else folder}", held, parts)


def _resolved(path: Path) -> Path:
    """The path with links followed; as it is where they lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path
