"""Files with unlikely content: each is one method with a problem, and the server continues."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles import GREETING
from tests.support.mcp_client import McpClient, serve_mcp

LONG_KEY = ".".join(["a"] * 1001) + " = 1\n"
BROKEN = {
    "deep.mthds": "a = " + "[" * 2000,
    "long.mthds": LONG_KEY,
    "late.mthds": f"{GREETING}\n[x]\n{LONG_KEY}",
    "many.mthds": f"{GREETING}\n[{'.'.join(['a'] * 999)}]\n" + f"{'.'.join(['b'] * 999)} = 1\n" * 300,
    "huge.mthds": "a = " + "9" * 5000,
    "hexadecimal.mthds": f"{GREETING}\nx = 0x{'f' * 5000}",
    "vast.mthds": f"{'.'.join(['a'] * 200_000)} = 1\n{GREETING}",
    "dotted.mthds": f"x = {{ {'.'.join(['a'] * 900)} = 1 }}\n{GREETING}",
}
ODD = {*BROKEN, "pipe.mthds", "dangling.mthds", "package", "bad\\xff.mthds", "line\\nbreak.mthds"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpClient]:
    home = tmp_path_factory.mktemp("home")
    workspace = home / "workspace"
    (workspace / "package").mkdir(parents=True)
    (workspace / "good.mthds").write_text(GREETING)
    for name, text in BROKEN.items():
        (workspace / name).write_text(text)
    os.mkfifo(workspace / "pipe.mthds")
    (workspace / "dangling.mthds").symlink_to("nowhere")
    (workspace / "package" / "METHODS.toml").write_text(LONG_KEY)
    (workspace / "package" / "main.mthds").write_text(GREETING)
    for name in (b"bad\xff.mthds", b"line\nbreak.mthds"):
        (workspace / os.fsdecode(name)).write_text(GREETING)
    with serve_mcp(home) as client:
        yield client


def by_path(methods: list[dict[str, Any]]) -> dict[str, str | None]:
    return {method["path"]: (method.get("problem") or {}).get("code") for method in methods}


def test_each_is_one_entry_with_a_problem(client: McpClient) -> None:
    assert by_path(client.result("methods/list")["methods"]) == {
        "good.mthds": None,
        **dict.fromkeys(ODD, "method.invalid"),
    }


def test_each_is_left_out_of_the_tools_with_its_reason(client: McpClient) -> None:
    for _ in range(20):
        if "good_mthds" in (tools := client.tools()):
            break

    assert [name for name in tools if name.endswith("_mthds")] == ["good_mthds"]
    listed = by_path(client.tool("list_methods")["structuredContent"]["methods"])
    assert listed == {"good.mthds": None, **dict.fromkeys(ODD, "method.invalid")}


def test_resources_are_those_that_a_uri_can_name(client: McpClient) -> None:
    uris = {resource["uri"].removeprefix("mthds://methods/") for resource in client.mcp("resources/list")["resources"]}

    assert "good.mthds" in uris
    assert {name for name in ODD if "\\" not in name} <= uris
    assert not any("bad" in uri or "break" in uri for uri in uris)


@pytest.mark.parametrize("name", BROKEN)
def test_running_or_checking_one_reports_what_is_wrong(client: McpClient, name: str) -> None:
    verdict = client.result("validate", {"method": name})
    refusals = [client.error(method, {"method": name}) for method in ("execute", "methods/inputs")]

    assert verdict["is_valid"] is False
    assert verdict["errors"][0]["code"] == "method.syntax"
    assert [refusal["data"]["code"] for refusal in refusals] == ["method.invalid"] * 2


def test_what_is_no_file_is_no_method(client: McpClient) -> None:
    codes = [
        client.error("execute", {"method": name})["data"]["code"] for name in ("pipe.mthds", "dangling.mthds", "a\nb")
    ]

    assert codes == ["method.not_found"] * 3
