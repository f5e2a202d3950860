"""Whatever text a stranger sends, looking at it takes time in proportion to its length.

Each test runs in a process of its own with a generous time-out: what is quadratic would need minutes or hours.
"""

import subprocess
import sys

import pytest

PATIENCE_S = 120

READING = """
from rpc_server.wire.framing import Decoder, Framing, FramingFault, frame
from rpc_server.wire.json_text import JsonFault, parse

SIZE = 512 * 1024
DEEP = b"[" * 129

def fill(head, part, tail=b""):
    return head + part * ((SIZE - len(head) - len(tail)) // len(part)) + tail

texts = [fill(head, part, tail)
    for head in (b"", DEEP, DEEP + b'"', b'{"a":')
    for part in (b'"', b"\\\\", b'\\\\"', b"[", b"]", b"[]", b'"["[', b'"[', b'[{"a":', b" ", b"\\\\u0041", b"\\xff")
    for tail in (b"", b'"', b"]")
]
texts.append(fill(b"[", b"[" * 127 + b"]" * 127 + b",", b"[]]"))
for text in texts:
    try:
        parse(text, 128)
    except JsonFault:
        pass

def pieces(data, size):
    return (data[start : start + size] for start in range(0, len(data), size))

length = b"Content-Type: x\\r\\nContent-Length: %d\\r\\n\\r\\n" % SIZE
bodies = [b"x" * SIZE, b"{" * SIZE, b":" * SIZE, b"Content-Length" * (SIZE // 14), b"Content-Length:1 " * (SIZE // 17)]
for body in bodies:
    for head in (b"", b"C", b"Content-Length: two\\r\\n\\r\\n", length):
        for chunk in (16, 64 * 1024, 2 * SIZE):
            decoder = Decoder(2 * SIZE)
            for piece in pieces(head + body, chunk):
                decoder.feed(piece)
            decoder.end()
"""

HEADS = """
from rpc_server.wire.framing import HEAD_BYTES
from rpc_server.wire.messages import id_in_head

for part in (b'"', b'"\\\\\\\\', b'\\\\"', b"{", b"[", b":", b",", b'"id":', b" ", b"1", b'{"id":1,'):
    for head in (b"", b"{", b'{"'):
        for _ in range(20):
            id_in_head((head + part * HEAD_BYTES)[: 64 * HEAD_BYTES])
"""

EXPRESSIONS = r"""
import pkgutil, re, signal
from importlib import import_module
import orchestrators, rpc_server, schemas

SIZE = 12_000
LIMIT_S = 0.25
# These are only ever matched at a given place.
MATCHED = {"_URL", "_TOKEN", "_DECLARATION", "_LONG_KEY"}
# The first takes the place of another package; the second runs when it is imported.
LEFT_OUT = {"rpc_server.wire.jsonrpc_core", "orchestrators.engine.__main__"}
PARTS = [*"a_-/ 1:=;$}{.KEY'`#,[]\n\t\r\u2028\u200d", "${", '"', "\\", '\\"', "\\n", "a_", "_a", "a.", "A.a", "'a",
    "`a", "at '", "pipe.", "concept.", "[a]", "[[a]]\n", '""', '\"""', "''", "'''", '" ', '"a".', "a = ", "0x",
    "- Dry run failed for pipe '", "Value error, ", "Could not load MTHDS bundle from ", " because of: ", "domain = ",
    "content-length", "content-length:", "content-length:1", "content-length:1 ", "charset", "charset=", "charset= ",
    "://a:", "/item_1", "/step_1", "/outcome_", "/default", "/* part: ", "//# sourceMappingURL="]
HEADS = ["", "a", "${", "://a:", "content-length:", "/outcome_", '"', "'''", "[", "at 'pipe.", "domain",
    "Could not load MTHDS bundle from ", "Additional properties are not allowed ("]

def patterns(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from patterns(member)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for member in value:
            yield from patterns(member)

def late(*_):
    raise TimeoutError

def within_limit(read, *arguments):
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        read(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

signal.signal(signal.SIGVTALRM, late)
FOUND = {}
for package in (orchestrators, rpc_server, schemas):
    for _, module, _ in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module not in LEFT_OUT:
            for name, value in vars(import_module(module)).items():
                FOUND |= {pattern: (module, name) for pattern in patterns(value)}
assert len(FOUND) > 40
for pattern, (module, name) in FOUND.items():
    reads = [pattern.match, pattern.fullmatch]
    if name not in MATCHED:
        reads += [pattern.search, lambda subject: pattern.sub(subject[:0], subject)]
    for head in HEADS:
        for part in PARTS:
            text = head + part * (SIZE // len(part)) + "\n!"
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            for read in reads:
                try:
                    within_limit(read, subject)
                except TimeoutError:
                    raise SystemExit(f"{module}.{name} takes too long for {head!r} and many {part!r}") from None
"""


@pytest.mark.parametrize(
    "code", [READING, HEADS, EXPRESSIONS], ids=["messages and headers", "heads of messages", "regular expressions"]
)
def test_hostile_text_is_read_in_linear_time(code: str) -> None:
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)

    assert (done.returncode, done.stderr) == (0, "")
