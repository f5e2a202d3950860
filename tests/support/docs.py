"""Reading the project's Markdown: sections, tables, code blocks, links, and the JSON examples in it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.client import ROOT, Conversation

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])
LEFT_OUT = "…"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
# What differs from run to run.
_PASSING = frozenset({"created_at", "started_at", "finished_at", "waiting_since", "at", "python_version"})
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def page(name: str) -> str:
    """The text of one page, named from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks in one of `languages`."""
    return [body for language, body in _BLOCK.findall(text) if language in languages]


def prose(text: str) -> str:
    """The text without its code blocks."""
    return _BLOCK.sub("", text)


def section(text: str, title: str) -> str:
    """What stands under a heading, to the next one of the same or a higher level."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start is not None, f"there is no heading '{title}'"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", prose_with_gaps(rest), re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def prose_with_gaps(text: str) -> str:
    """The text with its code blocks blanked, every character at its place."""
    return _BLOCK.sub(lambda block: " " * len(block[0]), text)


def rows(text: str) -> list[list[str]]:
    """The rows of every table in a text, without the heads."""
    lines = [line for line in prose(text).split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    heads = {at - 1 for at, row in enumerate(cells) if set("".join(row)) <= set("-:")}
    return [row for at, row in enumerate(cells) if at not in heads and at - 1 not in heads]


def codes(text: str) -> list[str]:
    """What stands in backticks, in order."""
    return _CODE.findall(prose(text))


def links(text: str) -> list[str]:
    """The targets of every link."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """What a link may name after `#`, as GitHub makes it from the headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(text))}


def write_files(text: str, directory: Path) -> None:
    """Write each code block that begins with `# the/file.name` into its file."""
    for body in blocks(text, "toml", "python"):
        head = re.match(r"# ([\w./-]+\.\w+)\n", body)
        if head is not None:
            file = directory / head[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body, encoding="utf-8")


@dataclass
class Exchange:
    """Messages that a page sends together, and those it says come back."""

    sent: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)


def exchanges(text: str) -> list[Exchange]:
    """The conversation that a page's JSON blocks are."""
    found: list[Exchange] = []
    for message in _messages(text):
        if _is_from_client(message):
            if not found or found[-1].received:
                found.append(Exchange())
            found[-1].sent.append(message)
        else:
            assert found, f"an answer to nothing: {message}"
            found[-1].received.append(message)
    return found


def _messages(text: str) -> Iterator[Any]:
    for body in blocks(text, "json"):
        message = json.loads(body)
        if "jsonrpc" in (message[0] if isinstance(message, list) else message):
            yield message


def _is_from_client(message: Any) -> bool:
    first = message[0] if isinstance(message, list) else message
    return "method" in first and first["method"] != "notifications/progress"


def converse(client: Conversation, exchange: Exchange) -> None:
    """Send what a page sends, and compare what comes back with what it shows."""
    for message in exchange.sent:
        client.send(message)
    for documented in exchange.received:
        assert not differences(documented, reply(client, documented)), documented


def reply(client: Conversation, documented: Any) -> Any:
    """What the server says where a page shows `documented`."""
    if isinstance(documented, list):
        return client.message(lambda message: _is_batch_of(message, documented))
    if "method" in documented:
        wanted = documented["params"]
        return client.message(
            lambda message: (
                isinstance(message, dict)
                and "method" in message
                and all(message["params"][name] == wanted[name] for name in ("progressToken", "progress"))
            )
        )
    return client.answer(documented["id"])


def _is_batch_of(message: Any, documented: list[Any]) -> bool:
    return isinstance(message, list) and [one["id"] for one in message] == [one["id"] for one in documented]


def differences(documented: Any, real: Any, place: str = "answer") -> list[str]:
    """Where a real value is not what a page shows. `…` stands for anything; times and made-up ids may differ."""
    if documented == LEFT_OUT:
        return []
    if isinstance(documented, dict) and isinstance(real, dict):
        return _differing_members(documented, real, place)
    if isinstance(documented, list) and isinstance(real, list) and len(documented) == len(real):
        pairs = enumerate(zip(documented, real, strict=True))
        return [found for at, (one, other) in pairs for found in differences(one, other, f"{place}[{at}]")]
    return [] if documented == real else [f"{place}: the page says {documented!r}, and it is {real!r}"]


def _differing_members(documented: dict[str, Any], real: dict[str, Any], place: str) -> list[str]:
    shown = documented.keys() - {LEFT_OUT}
    missing = [f"{place}: `{name}` is not there" for name in sorted(shown - real.keys())]
    untold = sorted(real.keys() - shown) if LEFT_OUT not in documented else []
    return [
        *missing,
        *(f"{place}: the page lacks `{name}`" for name in untold),
        *(
            found
            for name in sorted(shown & real.keys())
            if not _may_differ(name, documented[name], real[name])
            for found in differences(documented[name], real[name], f"{place}.{name}")
        ),
    ]


def _may_differ(name: str, documented: Any, real: Any) -> bool:
    if name in _PASSING:
        return type(documented) is type(real)
    return isinstance(documented, str) and isinstance(real, str) and bool(_UUID.fullmatch(documented))
