"""The state one engine process holds, shared by its operations."""

import asyncio
from dataclasses import dataclass, field

from orchestrators.engine.boot import BootedPipelex
from orchestrators.engine.libraries import LibraryCache
from orchestrators.engine.options import EngineOptions


@dataclass(frozen=True)
class Engine:
    """A booted engine."""

    options: EngineOptions
    booted: BootedPipelex
    libraries: LibraryCache
    python_validation: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a method with Python is validated: a second copy of its tree could not be imported meanwhile."""
