"""A real headless Chromium in which a host of MCP Apps shows our page.

with Browser.launch(tmp_path) as browser:
    page = browser.open(width=700)
    page.show(picture)
    assert page.text("#title") == "greet"
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpc_server.mcp.picture.app import page as page_html
from tests.support.node import node_command

PICTURE_KEY = "mthds-rpc/picture"
_SCRIPT = Path(__file__).with_name("browser.mjs")


class Browser:
    """One browser process; it shows one page at a time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @classmethod
    @contextmanager
    def launch(cls, directory: Path) -> Iterator["Browser"]:
        """Start the browser, with its files in `directory`; it ends with the block."""
        process = subprocess.Popen(
            node_command(_SCRIPT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"TMPDIR": str(directory), "HOME": str(directory), "PATH": "/usr/bin:/bin"},
        )
        with process:
            yield cls(process)
            assert process.stdin is not None
            process.stdin.close()

    def command(self, command: str, **given: Any) -> Any:
        """Have something done; what comes of it. Raises AssertionError where it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the browser has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, width: int = 800, height: int = 900, **how: Any) -> "Page":
        """Show the page in a window of this size.

        `how` may have the host's `capabilities` and `context`, the machine's colour `scheme`, and `mayAnswer=False` for
        a window that is no host.
        """
        self.command("open", html=page_html(), width=width, height=height, **how)
        return Page(self)


@dataclass(frozen=True)
class Page:
    """The page that is shown."""

    browser: Browser

    def result(self, **result: Any) -> None:
        """The tool has answered: the page gets its result."""
        self.browser.command("result", params={"content": [], **result})

    def show(self, picture: dict[str, Any]) -> None:
        """A result with a picture, and wait until the page has drawn as many nodes."""
        self.result(_meta={PICTURE_KEY: picture})
        self.until(f"document.querySelectorAll('#stage .node').length === {len(picture['nodes'])}")

    def news(self, picture: dict[str, Any] | None) -> None:
        """What the host reads for the page from now on; an error for None."""
        self.browser.command("news", reads=picture)

    def until(self, script: str) -> None:
        """Wait until a JavaScript expression is true in the page."""
        self.browser.command("until", script=script)

    def get(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.browser.command("evaluate", script=script)

    def text(self, selector: str) -> str:
        return str(self.get(f"document.querySelector({json.dumps(selector)}).textContent"))

    def is_shown(self, selector: str) -> bool:
        return bool(self.get(f"document.querySelector({json.dumps(selector)}).getClientRects().length > 0"))

    def press(self, *keys: str) -> None:
        self.browser.command("press", keys=keys)

    def click(self, selector: str) -> None:
        self.browser.command("click", selector=selector)

    def statuses(self) -> dict[str, str]:
        """The status that each node is coloured by, by its id."""
        script = """Object.fromEntries([...document.querySelectorAll('#stage .node')].map((node) => [
            node.dataset.id,
            ['pending', 'running', 'completed', 'failed', 'skipped'].filter((s) => node.classList.contains(s)).join(),
        ]))"""
        return dict(self.get(script))

    def has_status(self, node_id: str, status: str) -> None:
        """Wait until a node is coloured so."""
        self.until(
            f"document.querySelector('[data-id={json.dumps(node_id)}]')?.classList.contains('{status}') === true"
        )

    def asked(self, times: int) -> list[dict[str, Any]]:
        """Wait until the page has asked its host this often; what it asked."""
        return list(self.browser.command("asked", times=times))

    def check(self) -> None:
        """Raise where the page reached for the network, or anything was said on its console."""
        seen = self.browser.command("seen")
        assert not seen["said"], seen["said"]
        assert not [url for url in seen["requests"] if not url.startswith(("about:", "data:"))], seen["requests"]
