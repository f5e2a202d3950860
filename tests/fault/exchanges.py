"""What is sent to a server together, what has to come back, and what may be wrong with that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.wire_oracle import NULL_ID, Expected, Key


@dataclass(frozen=True)
class Fault:
    """Something that a server must never do."""

    kind: str
    """`died`, `frozen`, `silent`, `unexpected` and so on."""
    signature: str
    """What makes it one of its kind: two faults with one signature have one cause, as far as can be told."""
    detail: str
    id: Key | None = None
    """Of the message that it came of, where that is known."""


@dataclass
class Exchange:
    """What is sent together and what has to come back."""

    data: bytes
    expected: Sequence[Expected]
    """Each way in which it may be answered."""
    probe: Key
    """The id of the last request in it, which is sound."""
    slow: frozenset[Key] = frozenset()
    """The ids of calls that an engine works for."""
    is_lenient: bool = False
    """Whether the probe alone counts, since nobody can say what the rest is."""
    began: float = 0.0
    answered: Counter[Key] = field(default_factory=Counter)
    owed: Counter[Key] = field(default_factory=Counter)
    """Answers to what was sent before, which may still come or may not: their calls were cancelled."""
    said_under_null_id: Counter[str] = field(default_factory=Counter)
    """The messages of errors whose id is null."""

    def is_settled(self) -> bool:
        if not self.answered[self.probe]:
            return False
        return self.is_lenient or any(one.is_met_by(self.answered) for one in self.expected)

    def missing(self) -> list[Key]:
        """The ids that were answered too seldom; the null id where nobody knows which."""
        expected = self.expected[0]
        return [key for key, count in expected.least.items() if self.answered[key] < count] or [NULL_ID]

    def too_many(self) -> list[Key]:
        """The ids that were answered too often, whichever way the rest was answered."""
        if self.is_lenient:
            return []
        ways = (
            [key for key, count in self.answered.items() if count > one.most(key) + self.owed[key]]
            for one in self.expected
        )
        return min(ways, key=len)

    def still_owed(self) -> Counter[Key]:
        """The optional answers that have not come, those to what was sent before among them."""
        expected = self.expected[0]
        most = Counter({key: expected.most(key) + self.owed[key] for key in {*expected.optional, *self.owed}})
        return most - self.answered
