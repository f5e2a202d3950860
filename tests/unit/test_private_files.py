"""What this user keeps is for this user alone, whatever the umask, and no other user's folder is taken over."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrators.durable.artifact_store import ArtifactStore
from orchestrators.private_files import NotPrivate, check_private, make_private, private_folder, write_private
from rpc_server.mcp.tools.signature_cache import SignatureCache
from rpc_server.settings import trust
from rpc_server.settings.layers import ConfigurationFault
from rpc_server.settings.state_folder import check_state
from schemas.results import MethodSignature

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
STRANGER = 12345


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    previous = os.umask(request.param)
    yield
    os.umask(previous)


def modes_below(folder: Path) -> set[str]:
    return {f"{path.is_dir()} {stat.S_IMODE(path.stat().st_mode):o}" for path in (folder, *folder.rglob("*"))}


@pytest.mark.usefixtures("_umask")
def test_everything_that_is_made_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "all" / "config"))
    make_private(tmp_path / "all")

    private_folder(tmp_path / "all" / "state" / "mthds-rpc" / "artifacts", within=tmp_path / "all")
    SignatureCache(tmp_path / "all" / "mcp" / "signatures", "1").write("key", _signature())
    trust.trust(tmp_path)
    ArtifactStore(str(tmp_path / "all" / "store")).put("run", b"{}")

    assert modes_below(tmp_path / "all") == {"True 700", "False 600"}


def _signature() -> MethodSignature:
    return MethodSignature(pipe="p", inputs={}, output={}, output_concept="native.Text", envelopes={})


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o1777, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrators.private_files._is_own_group", lambda gid: False)
    tmp_path.chmod(mode)

    with pytest.raises(NotPrivate, match=f"may be written to by .*chmod go-rwx {tmp_path}"):
        check_private(tmp_path)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o711])
def test_a_folder_that_others_may_read_is_not_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    check_private(tmp_path)


@AS_ROOT
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)

    with pytest.raises(NotPrivate, match="belongs to another user"):
        check_private(tmp_path)


@AS_ROOT
def test_a_link_that_another_user_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "mine")
    check_private(link)

    os.lchown(link, STRANGER, STRANGER)

    with pytest.raises(NotPrivate, match="belongs to another user"):
        check_private(link)


def test_a_link_to_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open")

    with pytest.raises(NotPrivate):
        check_private(tmp_path / "link")


def test_a_folder_that_only_the_user_s_own_group_may_write_to_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrators.private_files._is_own_group", lambda gid: gid == tmp_path.stat().st_gid)
    tmp_path.chmod(0o775)

    check_private(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("place", ["", "dbos", "dbos/runs.sqlite3", "dbos/runs.sqlite3-workers", "mcp/signatures"])
def test_a_state_that_others_have_a_hand_in_is_refused(tmp_path: Path, place: str) -> None:
    state = tmp_path / "mthds-rpc"
    make_private(state / "mcp" / "signatures")
    make_private(state / "dbos" / "runs.sqlite3-workers")
    (state / "dbos" / "runs.sqlite3").touch(0o600)
    check_state(state)

    (state / place).chmod(0o777)

    with pytest.raises(ConfigurationFault, match="may be written to by every user.*XDG_STATE_HOME"):
        check_state(state)


def test_a_list_of_trusted_projects_that_others_may_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    trust.trust(tmp_path)
    trust.trust_file().chmod(0o666)

    with pytest.raises(ConfigurationFault, match="may be written to by every user"):
        trust.is_trusted(tmp_path)


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    write_private(file, b"before")

    write_private(file, b"after")

    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"after")]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_private(file, b"before")
    monkeypatch.setattr(Path, "replace", _fail)

    with pytest.raises(OSError, match="no space left"):
        write_private(file, b"after")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"before")]


def _fail(*_: object) -> None:
    raise OSError("no space left")
