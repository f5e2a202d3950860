"""Finding the declaration on which Pipelex breaks, where nothing else tells what is wrong with a method."""

import time
from collections.abc import Awaitable, Callable, Iterator

from orchestrators.engine.validation.faults import Fault
from orchestrators.engine.validation.judged import JudgedMethod, decoded
from orchestrators.engine.validation.locate import Clues
from orchestrators.engine.validation.stand_ins import Declaration, StandIns
from schemas.foreign_toml import BadToml, parse_toml

# Each trial costs about one validation; an editor waits for the answer.
_MAX_TRIALS = 100
_MAX_TRYING_S = 5.0

Breaks = Callable[[JudgedMethod], Awaitable[bool]]
"""Whether Pipelex breaks on a method, rather than giving a verdict on it."""


async def culprit(method: JudgedMethod, breaks: Breaks, error: BaseException) -> Fault | None:
    """The fault of the declaration without which Pipelex no longer breaks; None where no single one is to blame."""
    texts = {file: decoded(entry)[0] for file, entry in method.bundles.items()}
    end = time.monotonic() + _MAX_TRYING_S
    for trial, declaration in enumerate(_declarations(texts)):
        if trial == _MAX_TRIALS or time.monotonic() > end:
            break
        stand_ins = StandIns(dict(texts))
        stand_ins.replace(declaration, keeps_contract=True, removes=False)
        without = stand_ins.texts()
        if without is not None and not await breaks(method.with_bundles(without)):
            return _fault(declaration, error)
    return None


def _declarations(texts: dict[str, str]) -> Iterator[Declaration]:
    for file, text in texts.items():
        try:
            document = parse_toml(text)
        except BadToml:
            return
        for key, value in document.items():
            if key in ("concept", "pipe") and isinstance(value, dict):
                yield from (Declaration(file, key, name) for name in value)
            else:
                yield Declaration(file, "key", key)


def _fault(declaration: Declaration, error: BaseException) -> Fault:
    kind = "key" if declaration.kind == "key" else f"{declaration.kind} declaration"
    detail = f"The runtime cannot read the {kind} {declaration.name!r}: a value in it has a type that does not fit"
    clues = Clues(
        file=declaration.file,
        pipe=declaration.name if declaration.kind == "pipe" else None,
        concept=declaration.name if declaration.kind == "concept" else None,
        fields=(declaration.name,) if declaration.kind == "key" else (),
    )
    return Fault({"code": "method.invalid", "detail": f"{detail} ({type(error).__name__})."}, clues)
