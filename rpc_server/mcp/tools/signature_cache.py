"""Signatures of methods, kept on disk by the content they describe."""

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orchestrators.private_files import write_private
from schemas.results import MethodSignature

logger = logging.getLogger(__name__)

_SUFFIX = ".json"


@dataclass(frozen=True)
class SignatureCache:
    """A folder of signatures. What cannot be read counts as not there, what cannot be written is let go."""

    directory: Path
    version: str
    """The version of the code that makes signatures; one from another version counts as missing."""
    most: int = 1000
    """Files that are kept; beyond, those written the longest ago go."""

    def read(self, key: str) -> MethodSignature | None:
        """The signature of what `key` stands for. Blocks."""
        try:
            document = json.loads(self._path(key).read_bytes())
            if document["version"] != self.version:
                return None
            return MethodSignature.model_validate(document["signature"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            logger.info("a kept signature cannot be read and is made anew: %s", error)
            return None

    def write(self, key: str, signature: MethodSignature) -> None:
        """Keep a signature; another process sees the whole of it or nothing. Blocks."""
        document = {"version": self.version, "signature": signature.model_dump(mode="json")}
        try:
            write_private(self._path(key), json.dumps(document).encode())
            self._forget_oldest()
        except OSError as error:
            logger.info("a signature cannot be kept: %s", error)

    def _path(self, key: str) -> Path:
        return self.directory / f"{hashlib.sha256(key.encode()).hexdigest()}{_SUFFIX}"

    def _forget_oldest(self) -> None:
        with os.scandir(self.directory) as entries:
            files = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
        if len(files) <= self.most:
            return
        with contextlib.suppress(FileNotFoundError):
            by_age = sorted(files, key=lambda entry: entry.stat().st_mtime_ns)
            for entry in by_age[: len(files) - self.most]:
                Path(entry.path).unlink(missing_ok=True)
