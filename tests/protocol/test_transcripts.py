"""Dialogues that are the same in several revisions of MCP, each of them played in every one.

The first line of a transcript says in which revisions, every other line what the client sends or what the server
answers. `…` stands for what is left out, `<revision>` for the one that is spoken. The handshake and the envelope are
added here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import ROOT
from tests.support.connected import connected
from tests.support.docs import Exchange, converse
from tests.support.mcp_client import envelope
from tests.support.mcp_schemas import MODERN


def plays() -> Iterator[Any]:
    for file in sorted((ROOT / "tests/transcripts").glob("*.jsonl")):
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        for revision in json.loads(head)["revisions"]:
            said = [json.loads(line.replace("<revision>", revision)) for line in lines]
            yield pytest.param(revision, said, id=f"{file.stem}-{revision}")


def sent_in(revision: str, message: Any) -> Any:
    """A message as a client of a revision sends it."""
    if isinstance(message, list):
        return [sent_in(revision, one) for one in message]
    if revision == MODERN and "id" in message and "method" in message:
        return {**message, "params": envelope(message.get("params"))}
    return message


@pytest.mark.parametrize(("revision", "lines"), list(plays()))
def test_the_server_answers_as_the_transcript_shows_and_says_nothing_else(
    tmp_path: Path, revision: str, lines: list[dict[str, Any]]
) -> None:
    sent = [[sent_in(revision, line["client"])] if "client" in line else [] for line in lines]
    received = [[line["server"]] if "server" in line else [] for line in lines]

    with connected(tmp_path) as client:
        client.speak(revision)
        before = len(client.messages)
        for exchange in map(Exchange, sent, received):
            converse(client, exchange)

    assert len(client.messages) - before == sum(map(len, received)) > 0
