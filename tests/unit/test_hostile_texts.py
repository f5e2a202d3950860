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

EXPRESSIONS = """
import pkgutil, re
from importlib import import_module
import rpc_server

SIZE = 100_000
# These are only ever matched at a given place.
MATCHED = {'_URL', '_TOKEN'}
NAMES = [name for _, name, _ in pkgutil.walk_packages(rpc_server.__path__, "rpc_server.")
    if name != "rpc_server.wire.jsonrpc_core"]
MODULES = [import_module(name) for name in NAMES]
FOUND = [pair for module in MODULES for pair in vars(module).items()]
PATTERNS = [(name, value) for name, value in FOUND if isinstance(value, re.Pattern)]
PARTS = [*"a_-/ 1:=;$}{.KEY", "${", '"', "\\\\", '\\\\"', "\\n", "a_", "_a", "://a:",
    "content-length", "content-length:", "content-length:1", "content-length:1 ", "charset", "charset=", "charset= ",
    "/item_1", "/step_1", "/outcome_", "/default", "/* part: ", "//# sourceMappingURL="]
HEADS = ["", "a", "${", "://a:", "content-length:", "/outcome_", '"']
assert len(PATTERNS) > 8
for name, pattern in PATTERNS:
    for head in HEADS:
        for part in PARTS:
            text = head + part * (SIZE // len(part)) + "\\n!"
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            pattern.match(subject)
            pattern.fullmatch(subject)
            if name not in MATCHED:
                pattern.search(subject)
                pattern.sub(subject[:0], subject)
"""


@pytest.mark.parametrize(
    "code", [READING, HEADS, EXPRESSIONS], ids=["messages and headers", "heads of messages", "regular expressions"]
)
def test_hostile_text_is_read_in_linear_time(code: str) -> None:
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)

    assert (done.returncode, done.stderr) == (0, "")
