"""Loaded methods, kept by content: what costs most of a run is paid once."""

import asyncio
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from pipelex.interpreter_hub import get_library_manager, set_current_library
from pipelex.libraries.method_load_threads import run_method_load
from pipelex.pipe_machinery.pipe_blueprint import PipeType
from pipelex.pipeline.execution_seams import acquire_library_async
from pipelex.pipeline.method_entry import select_method_entry

from orchestrators.engine.model_decks import every_model
from orchestrators.engine.trees import MaterialisedTree, materialised
from schemas.method_source import MethodSource

_WITHOUT_MODELS = frozenset(
    {
        PipeType.PIPE_COMPOSE,
        PipeType.PIPE_DOC_GEN,
        PipeType.PIPE_BATCH,
        PipeType.PIPE_CONDITION,
        PipeType.PIPE_PARALLEL,
        PipeType.PIPE_SEQUENCE,
    }
)


@dataclass
class LoadedLibrary:
    """A method Pipelex has loaded. `main_pipe` is the qualified entry pipe, or None where the method names none."""

    library_id: str
    tree: MaterialisedTree
    main_pipe: str | None
    may_call_models: bool
    release: ExitStack
    users: int = 0


@dataclass
class LibraryCache:
    """The most recently used libraries; one in use is never dropped."""

    directory: Path
    capacity: int
    _loaded: OrderedDict[str, LoadedLibrary] = field(default_factory=OrderedDict)
    _loading: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    @asynccontextmanager
    async def using(self, source: MethodSource, digest: str, *, dry: bool) -> AsyncIterator[LoadedLibrary]:
        """The library of `source`, current in the calling task's context for the block.

        A `dry` one may name models whose keys are missing. Raises Pipelex's own errors for a method that does not load.
        """
        with every_model() if dry else nullcontext():
            library = await self._get(source, f"{digest}:dry" if dry else digest)
            library.users += 1
            try:
                set_current_library(library_id=library.library_id)
                yield library
            finally:
                library.users -= 1
                self._evict()

    async def _get(self, source: MethodSource, digest: str) -> LoadedLibrary:
        while (loading := self._loading.get(digest)) is not None:
            await asyncio.wait([loading])
        if (library := self._loaded.get(digest)) is not None:
            self._loaded.move_to_end(digest)
            return library
        done = self._loading[digest] = asyncio.get_running_loop().create_future()
        try:
            library = await self._load(source)
            self._loaded[digest] = library
            return library
        finally:
            del self._loading[digest]
            done.set_result(None)

    async def _load(self, source: MethodSource) -> LoadedLibrary:
        with ExitStack() as release:
            directory = Path(tempfile.mkdtemp(prefix="tree-", dir=self.directory))
            release.callback(shutil.rmtree, directory, ignore_errors=True)
            tree = release.enter_context(materialised(source, directory / "method"))
            library_id, main_pipe = await acquire_library_async(
                directory.name,
                library_dirs=[str(tree.path)] if tree.path is not None else [],
                mthds_contents=tree.contents,
                library_dirs_are_callers=True,
                methods_dirs=tree.methods_dirs or None,
            )
            release.callback(get_library_manager().teardown, library_id=library_id)
            pipes = get_library_manager().get_library(library_id=library_id).pipe_library.get_pipes()
            return LoadedLibrary(
                library_id=library_id,
                tree=tree,
                main_pipe=main_pipe,
                may_call_models=any(pipe.pipe_type not in _WITHOUT_MODELS for pipe in pipes),
                release=release.pop_all(),
            )

    def _evict(self) -> None:
        idle = [digest for digest, library in self._loaded.items() if library.users == 0]
        for digest in idle[: max(0, len(self._loaded) - self.capacity)]:
            self._loaded.pop(digest).release.close()


async def entry_pipe_ref(library: LoadedLibrary) -> str | None:
    """The qualified pipe a run starts at when the request names none; None where loose contents declare none.

    Raises Pipelex's `MethodEntryError` for a tree that has no single entry.
    """
    if library.tree.tree is not None and library.main_pipe is None:
        entry = await run_method_load(select_method_entry, tree=library.tree.tree)
        library.main_pipe = entry.pipe_ref
    return library.main_pipe
