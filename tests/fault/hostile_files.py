"""Hostile files, folders and other things that a workspace may hold. A `Random` decides all of it."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.fault.hostile_bundles import MANIFEST, hostile_bundle, hostile_manifest
from tests.fault.mutations import ODD_BYTES
from tests.support.bundles import GREETING

SPARSE_BYTES = 10 * 1024**3
_LONGEST_NAME = 255
_CROWD = 2_500
_SUFFIX = b".mthds"
_NAMES = (
    *(
        b"line\nbreak",
        b"\n",
        b"carriage\rreturn",
        b"tab\t",
        b"\x1b[31mred",
        b"\x7f",
        b"\xff\xfe",
        b"caf\xe9",
        b"\xed\xa0\x80",
    ),
    *("é".encode(), "e\u0301".encode(), "\u202egnp".encode(), "\u200b".encode(), "\u2028".encode(), "🦀".encode()),
    *("\U000e0041".encode(), b"-rf", b"--help", b" ", b"  x ", b"%00", b"%2e%2e", b"..x", b"a?b#c", b"'\"", b"\\"),
    *(b"$(id)", b"`id`", b"*", b"~", b"file:", b"mthds:", b"{{ x }}", b"{name}", b"[a]", b"con", b"a:b", b"|", b"<x>"),
)
_HIDDEN = (b".mthds", b".x.mthds", b"x.MTHDS", b"x.mthds~", b"x.mthds.bak", b"x.toml")
_PATTERNS = (
    *(b"*a" * 30 + b"b", b"**/" * 200 + b"x", b"[" * 1_000, b"(a+)+$", b"a*" * 40 + b"!", b"?" * 400, b"**a**" * 20),
    *(
        b"!" * 100,
        b"\\" * 99,
        b"[!a-" * 50,
        b"/" * 1_000,
        b"\xff",
        b"[[:alpha:]]" * 50,
        b"{a,b}" * 50,
        b"*" * 3_000 + b"x",
    ),
)


@dataclass(frozen=True)
class Made:
    """One thing in the workspace."""

    kind: str
    name: bytes
    """Its path in the workspace."""
    is_method: bool
    """Whether the list of methods has to name it, with a problem or without."""
    head: bytes = b""
    """How what it holds begins."""
    size: int = 0
    files: int = 1
    number: int = 0
    """Of those of its round."""

    @property
    def path(self) -> str:
        """As a caller of Python's kind would name it."""
        return os.fsdecode(self.name)

    @property
    def is_plain(self) -> bool:
        """Whether its name comes back as it is."""
        return self.name.isascii() and self.name.decode("ascii").isprintable()


@dataclass
class Round:
    """What a workspace holds for a while."""

    folder: Path
    made: list[Made] = field(default_factory=list)
    growing: list[Path] = field(default_factory=list)
    """Files that are still being written to."""
    sockets: list[socket.socket] = field(default_factory=list)


def make(round_: Round, chance: Random, number: int) -> None:
    """One thing more; nothing where the file system refuses its name."""
    kind = chance.choices(list(_MAKERS), [weight for weight, _ in _MAKERS.values()])[0]
    with suppress(FileExistsError, OSError):
        for made in _MAKERS[kind][1](round_, chance, number):
            round_.made.append(replace(made, number=number))


def _write(round_: Round, name: bytes, data: bytes) -> None:
    with (round_.folder / os.fsdecode(name)).open("xb") as file:
        file.write(data)


def _bundle(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """A bundle by itself; its neighbours are no part of it."""
    data = hostile_bundle(chance)
    name = b"m%d.mthds" % number
    _write(round_, name, data)
    yield Made("bundle", name, True, data[:300], len(data))


def _package(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """A folder with a manifest, a bundle, and maybe more."""
    name = b"p%d" % number
    folder = round_.folder / os.fsdecode(name)
    folder.mkdir()
    manifest = hostile_manifest(chance) if chance.random() < 0.7 else MANIFEST
    bundle = hostile_bundle(chance) if chance.random() < 0.5 else GREETING.encode()
    (folder / "METHODS.toml").write_bytes(manifest)
    (folder / "main.mthds").write_bytes(bundle)
    yield Made("package", name, True, manifest[:300] + b" /// " + bundle[:300], len(manifest) + len(bundle), 2)


def _ignoring_package(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """A package with a hostile `.gitignore` and names for it to work on."""
    name = b"g%d" % number
    folder = round_.folder / os.fsdecode(name)
    folder.mkdir()
    patterns = b"\n".join(chance.choices(_PATTERNS, k=chance.choice((1, 3, 500))))
    (folder / "METHODS.toml").write_bytes(MANIFEST)
    (folder / "main.mthds").write_text(GREETING)
    (folder / ".gitignore").write_bytes(patterns)
    (folder / ("a" * 200)).touch()
    yield Made("gitignore", name, True, patterns[:300], len(patterns), 4)


def _odd_name(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    stem = chance.choice(_NAMES)
    if chance.random() < 0.3:
        stem = b"n%d" % number + chance.choice(ODD_BYTES).replace(b"\x00", b"\x01")
    data = GREETING.encode() if chance.random() < 0.7 else hostile_bundle(chance)
    _write(round_, stem + _SUFFIX, data)
    yield Made("name", stem + _SUFFIX, not stem.startswith(b"."), data[:100], len(data))


def _long_name(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    filler = chance.choice((b"a", "é".encode(), b"\xff", b"a."))
    stem = (b"%d" % number + filler * _LONGEST_NAME)[: _LONGEST_NAME - len(_SUFFIX)]
    _write(round_, stem + _SUFFIX, GREETING.encode())
    yield Made("long name", stem + _SUFFIX, True)


def _odd_package_name(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = b"f%d" % number + chance.choice(_NAMES)
    folder = round_.folder / os.fsdecode(name)
    folder.mkdir()
    (folder / "METHODS.toml").write_bytes(MANIFEST)
    (folder / "main.mthds").write_text(GREETING)
    yield Made("package name", name, True, files=2)


def _no_method(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = chance.choice(_HIDDEN)
    _write(round_, name, GREETING.encode())
    yield Made("no method", name, False)


def _directory(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = b"d%d.mthds" % number
    (round_.folder / os.fsdecode(name)).mkdir()
    yield Made("directory", name, False)


def _link(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = f"l{number}.mthds"
    targets = (
        "none",
        name,
        "/dev/zero",
        "/dev/tty",
        "/etc/passwd",
        "..",
        ".",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "m0.mthds",
    )
    (round_.folder / name).symlink_to(chance.choice(targets))
    yield Made("link", name.encode(), False)


def _pipe(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = f"f{number}.mthds"
    os.mkfifo(round_.folder / name)
    yield Made("named pipe", name.encode(), False)


def _socket(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = f"s{number}.mthds"
    server = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    try:
        # The whole path would be too long for a socket's name.
        os.chdir(round_.folder)
        server.bind(name)
    finally:
        os.fchdir(here)
        os.close(here)
    round_.sockets.append(server)
    yield Made("socket", name.encode(), False)


def _sparse(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = b"z%d.mthds" % number
    _write(round_, name, b"")
    os.truncate(round_.folder / os.fsdecode(name), chance.choice((SPARSE_BYTES, 33 * 1024**2)))
    yield Made("sparse", name, True, size=SPARSE_BYTES)


def _unreadable(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """Root reads it all the same."""
    name = b"u%d.mthds" % number
    _write(round_, name, GREETING.encode())
    (round_.folder / os.fsdecode(name)).chmod(0)
    yield Made("unreadable", name, True)


def _growing(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    name = b"w%d.mthds" % number
    _write(round_, name, GREETING.encode())
    round_.growing.append(round_.folder / os.fsdecode(name))
    yield Made("growing", name, True)


def _deep(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """Below folders more than a scan follows."""
    top = round_.folder / f"t{number}"
    folder = top.joinpath(*["d"] * chance.choice((5, 20, 200)))
    folder.mkdir(parents=True)
    (folder / "deep.mthds").write_text(GREETING)
    yield Made("deep", b"t%d" % number, False)


def _crowd(round_: Round, chance: Random, number: int) -> Iterator[Made]:
    """A package of more files than a method may have; it counts as one."""
    name = b"c%d" % number
    folder = round_.folder / os.fsdecode(name)
    folder.mkdir()
    (folder / "METHODS.toml").write_bytes(MANIFEST)
    for index in range(_CROWD):
        (folder / f"{index}.mthds").write_bytes(b"x = 1\n")
    yield Made("crowd", name, True)


_Maker = Callable[[Round, Random, int], Iterator[Made]]
_MAKERS: dict[str, tuple[int, _Maker]] = {
    "bundle": (600, _bundle),
    "package": (120, _package),
    "gitignore": (4, _ignoring_package),
    "name": (120, _odd_name),
    "long name": (10, _long_name),
    "package name": (20, _odd_package_name),
    "no method": (8, _no_method),
    "directory": (10, _directory),
    "link": (25, _link),
    "pipe": (10, _pipe),
    "socket": (5, _socket),
    "sparse": (4, _sparse),
    "unreadable": (8, _unreadable),
    "growing": (5, _growing),
    "deep": (2, _deep),
    "crowd": (1, _crowd),
}


def told(made: Sequence[Made]) -> Iterator[bytes]:
    """What each is, for a reader."""
    for one in made:
        yield b"%s %r (%d bytes): %s" % (one.kind.encode(), one.name, one.size, one.head)
