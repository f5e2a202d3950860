"""[engine] of rpc.toml, where each setting is explained. Imports nothing, since every start reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineSettings:
    """How engines are kept. Durations in seconds."""

    max_engines: int
    max_lanes: int
    allow_python: bool
    cancel_grace_s: float
    boot_timeout_s: float
    unresponsive_s: float
    verdict_timeout_s: float
    max_dry_steps: int
    max_memory_mb: int
