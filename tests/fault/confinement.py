"""Swapping folders and files of a workspace for links that lead out, while everything in it is read.

`python -m tests.fault.confinement --swaps 10000` is the long form; it prints what was read and what leaked.
"""

import argparse
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from rpc_server.settings.settings import Flags, load_settings
from rpc_server.workspace.scan import ScanBounds, ScanMemory
from rpc_server.workspace.workspace import Workspace
from schemas.params import MethodParams
from schemas.problem import ProblemError

MARK = "LEAKED"
"""What only files outside the workspace hold."""
ADDRESS = "github.com/acme/methods/greeter"
CALLER = f'domain = "caller"\nsteps = [{{ pipe = "{ADDRESS}->greeting.greet" }}]\n'
SWAPPED = ("inner", "deep/er", "inner/notes.txt", "inner/main.mthds", "alone.mthds", ".mthds", ".mthds/methods/greeter")
"""Folders and files that are links to their twins outside, half of the time."""

# In a process of its own, so that it is not held up while a read holds the interpreter.
_SWAPPER = """
import os, random, sys, time
inside, outside, swaps, seed, *paths = sys.argv[1:]
random.seed(int(seed))
done = 0
while done < int(swaps):
    path = random.choice(paths)
    here, aside = f"{inside}/{path}", f"{inside}/.aside"
    os.rename(here, aside)
    os.symlink(f"{outside}/{path}", here)
    time.sleep(random.random() / 10000)
    os.unlink(here)
    os.rename(aside, here)
    time.sleep(random.random() / 10000)
    done += 1
"""


@dataclass
class Report:
    """What became of the reads, by kind."""

    swaps: int
    read: Counter[str] = field(default_factory=Counter)
    """That gave what is inside."""
    refused: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.swaps} swaps"]
        for kind in sorted(self.read | self.refused | self.leaked):
            lines.append(f"{kind}: {self.read[kind]} read, {self.refused[kind]} refused, {self.leaked[kind]} leaked")
        return "\n".join(lines)


def write_twins(top: Path) -> tuple[Path, Path]:
    """A workspace, and a folder outside with the same names and other contents."""
    for name, text in (("inside", "harmless"), ("outside", MARK)):
        bundle = f'domain = "d"\ndescription = "{text}"\nmain_pipe = "go"\n'
        manifest = f'[package]\nname = "greeter"\naddress = "github.com/acme/methods"\ndescription = "{text}"\n'
        for path, content in (
            ("inner/notes.txt", text),
            ("inner/main.mthds", bundle),
            ("deep/er/still/main.mthds", bundle),
            ("deep/er/still/notes.txt", text),
            ("alone.mthds", bundle),
            (".mthds/methods/greeter/METHODS.toml", manifest),
            (".mthds/methods/greeter/greeting.mthds", bundle),
        ):
            file = top / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    return top / "inside", top / "outside"


Read = Callable[[], Awaitable[object]]


def reads_of(workspace: Workspace) -> dict[str, Read]:
    """Every way in which a file of the workspace gets into an answer, by kind."""
    assert workspace.root.directory is not None
    directory = workspace.root.directory
    memory = ScanMemory()
    bounds = ScanBounds.of(workspace.settings)

    def method(path: str) -> Read:
        return lambda: workspace.method_source(MethodParams(method=path))

    def inputs(path: str) -> Read:
        return lambda: workspace.inputs({"x": {"path": path, "mime_type": "text/plain"}})

    async def files() -> object:
        return await workspace.method_source(
            MethodParams.model_validate({"files": {"a.txt": {"path": "deep/er/still/notes.txt"}}})
        )

    async def package() -> object:
        return await workspace.method_source(MethodParams(mthds_contents=[CALLER]))

    return {
        "an input of a folder": inputs("inner/notes.txt"),
        "an input from far below": inputs("deep/er/still/notes.txt"),
        "a file of the request": files,
        "a method by its file": method("alone.mthds"),
        "a method by its folder": method("inner"),
        "a method from far below": method("deep/er/still"),
        "a package": package,
        "methods/list": lambda: workspace.list_methods(None, 100),
        "the index": lambda: workspace.scan(directory, bounds, memory),
    }


async def race(top: Path, swaps: int, seed: int = 0) -> Report:
    """Read again and again, each kind in turn, until the swapper has done its swaps."""
    inside, outside = write_twins(top.resolve())
    settings = load_settings(Flags(workspace=inside), cwd=inside, environ={"HOME": str(top)})
    reads = reads_of(Workspace.of(settings))
    report = Report(swaps)
    async with _swapping(inside, outside, swaps, seed) as swapper:
        while swapper.poll() is None:
            for kind, read in reads.items():
                await _note(report, kind, read)
    assert swapper.returncode == 0
    return report


async def _note(report: Report, kind: str, read: Read) -> None:
    try:
        told = repr(await read())
    except ProblemError as error:
        told = error.problem.model_dump_json()
        report.refused[kind] += 1
    else:
        report.read[kind] += 1
    # A file among the inputs is Base64 by then.
    if MARK in told or "TEVBS0VE" in told:
        report.leaked[kind] += 1


@asynccontextmanager
async def _swapping(inside: Path, outside: Path, swaps: int, seed: int) -> AsyncIterator["subprocess.Popen[bytes]"]:
    arguments = [str(inside), str(outside), str(swaps), str(seed), *SWAPPED]
    swapper = subprocess.Popen([sys.executable, "-c", _SWAPPER, *arguments])
    try:
        yield swapper
    finally:
        swapper.kill()
        swapper.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    with TemporaryDirectory() as directory:
        report = anyio.run(race, Path(directory), given.swaps, given.seed)
    print(report)
    sys.exit(1 if report.leaked else 0)


if __name__ == "__main__":
    main()
