"""Where the files of runs are."""

import re
from pathlib import Path

_OWN_FOLDER = "direct"
_NOT_IN_A_NAME = re.compile(r"[^0-9T]")


def artifacts_folder(state_dir: Path) -> Path:
    """The folder of all artifacts of this machine."""
    return state_dir / "artifacts"


def artifact_scope(run_id: str, orchestration_mode: str, created_at: str, execution: str | None = None) -> str:
    """The folder of one run, as one to three names with `/` between them; `created_at` is ISO 8601 in UTC.

    A kept run has its id for good, so every worker finds its files. In other modes a later run may have the same id and
    must not get these files. Runs of `direct` differ by their time. A mode whose system may use an id twice names the
    `execution`. No id begins with `_`.
    """
    if orchestration_mode == _OWN_FOLDER:
        return f"_{_OWN_FOLDER}/{run_id}/{_NOT_IN_A_NAME.sub('', created_at.partition('+')[0])}"
    if execution is not None:
        return f"_{orchestration_mode}/{run_id}/{execution}"
    return run_id
