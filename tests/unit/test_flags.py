"""How the flags that editors give are read."""

from pathlib import Path

import pytest

from rpc_server.commands.flags import add_settings_flags, flags_of, parser


def workspace(text: str) -> Path | None:
    options = parser("test", "")
    add_settings_flags(options)
    return flags_of(options.parse_args(["--workspace", text])).workspace


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("some/folder", "some/folder"),
        ("/a%20b", "/a%20b"),
        ("file:///home/me/project", "/home/me/project"),
        ("file:///home/me/a%20b/%C3%A9", "/home/me/a b/é"),
        ("file:///a%23b%3Fc%25", "/a#b?c%"),
        ("file://localhost/home", "/home"),
        ("FILE:///home", "/home"),
        ("file:/home", "/home"),
        ("file:///", "/"),
        ("file:///a%FF", "/a\udcff"),
    ],
)
def test_a_workspace_is_a_path_or_a_uri(text: str, path: str) -> None:
    assert workspace(text) == Path(path)


@pytest.mark.parametrize(
    "text",
    [
        "file://host/share",
        "file:relative",
        "file:",
        "file://",
        "file:///a?b",
        "file:///a#b",
        "file:///a%00",
        "file://[",
    ],
)
def test_a_uri_that_names_no_folder_of_this_machine_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        workspace(text)

    assert ended.value.code == 2
    assert "argument --workspace: " in capsys.readouterr().err
