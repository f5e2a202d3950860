"""The state one engine process holds, shared by its operations."""

from dataclasses import dataclass

from orchestrators.engine.boot import BootedPipelex
from orchestrators.engine.libraries import LibraryCache
from orchestrators.engine.options import EngineOptions


@dataclass(frozen=True)
class Engine:
    """A booted engine."""

    options: EngineOptions
    booted: BootedPipelex
    libraries: LibraryCache
