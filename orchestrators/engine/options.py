"""What an engine gets at its start; import-light, since the pool writes it and the child reads it."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class EngineOptions:
    """Absolute paths throughout. The child changes into `work_dir`, which is its own and empty."""

    work_dir: str
    """The engine's private directory: its working directory, its written trees."""
    artifacts_dir: str
    """Where runs keep the files they make, one directory a run."""
    project_config_dir: str | None = None
    """A trusted project's `.pipelex`, whose Pipelex settings count."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables from `--env-file`; real variables win."""
    boot_orchestrator: str | None = None
    """The Pipelex plugin to boot under, for the bridge."""
    max_libraries: int = 64
    """How many loaded methods are kept."""
    max_dry_steps: int = 20_000
    """How many pipes one verdict, or one dry run, may start."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "EngineOptions":
        return cls(**data)
