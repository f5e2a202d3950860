"""The store that machines share: a folder, and the URLs that fsspec knows, do alike."""

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrators.durable.artifact_store import ArtifactStore
from schemas.problem import ProblemError

NOBODY = 65534
EXECUTION = "0123456789abcdef" * 2
CONTENT = '{"output":"\N{LATIN SMALL LETTER E WITH ACUTE}"}'.encode()


@pytest.fixture(params=["a folder", "file://", "memory://"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "shared" / "store"
    return {
        "a folder": str(folder),
        "file://": f"file://{folder}",
        "memory://": f"memory://{uuid.uuid4().hex}/store",
    }[request.param]


@pytest.fixture
def store(url: str) -> ArtifactStore:
    return ArtifactStore(url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store of `in_folder` is."""
    return tmp_path / "store"


@pytest.fixture
def in_folder(folder: Path) -> ArtifactStore:
    return ArtifactStore(str(folder))


def made_by_a_run(folder: Path) -> dict[str, bytes]:
    """Files that a run might make; what they hold by name."""
    files = {
        "picture.png": b"\x89PNG",
        "pages/1/text.md": b"one",
        "pages/a [1] #?%* \N{LATIN SMALL LETTER E WITH ACUTE}.txt": b"",
        ".hidden": b"hidden",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return files


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder that whoever runs this may not write to; the superuser, whom nothing stops, is nobody for the block."""
    folder.chmod(0o500)
    is_superuser = os.geteuid() == 0
    if is_superuser:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_superuser:
            os.seteuid(0)
        folder.chmod(0o700)


class TestContent:
    """`put` and `get`."""

    @pytest.mark.parametrize("content", [CONTENT, b"", os.urandom(8_000_000)], ids=["small", "empty", "8 MB"])
    def test_what_is_put_is_what_is_got_also_by_another_machine(
        self, store: ArtifactStore, url: str, content: bytes
    ) -> None:
        digest = store.put("run-1", content)

        assert digest == hashlib.sha256(content).hexdigest()
        assert store.get("run-1", digest) == ArtifactStore(url).get("run-1", digest) == content

    def test_the_same_content_twice_is_kept_once(self, store: ArtifactStore) -> None:
        digests = {store.put("run-1", CONTENT) for _ in range(2)}

        assert store.get("run-1", *digests) == CONTENT

    def test_two_who_write_the_same_at_once_do_not_harm_each_other(self, store: ArtifactStore) -> None:
        content = os.urandom(1_000_000)
        digest = store.put("run-1", content)

        with ThreadPoolExecutor(4) as threads:
            written = [threads.submit(store.put, "run-1", content) for _ in range(20)]
            read = [threads.submit(store.get, "run-1", digest) for _ in range(20)]

        assert {done.result() for done in written} == {digest}
        assert {done.result() for done in read} == {content}

    def test_no_part_of_a_write_stays_behind(self, in_folder: ArtifactStore, folder: Path) -> None:
        digest = in_folder.put("run-1", CONTENT)
        in_folder.put("run-1", CONTENT)

        assert files_below(folder) == {f"run-1/{digest}.json": CONTENT}

    def test_a_run_finds_nothing_of_another_one(self, store: ArtifactStore) -> None:
        digest = store.put("run-1", CONTENT)

        with pytest.raises(ProblemError) as refused:
            store.get("run-2", digest)

        assert refused.value.problem.code == "run.results_not_stored"

    def test_what_is_not_there_is_told_with_its_run(self, store: ArtifactStore) -> None:
        with pytest.raises(ProblemError) as refused:
            store.get("run-1", hashlib.sha256(CONTENT).hexdigest())

        problem = refused.value.problem
        assert (problem.code, problem.pipeline_run_id) == ("run.results_not_stored", "run-1")

    @pytest.mark.parametrize("tampered", [b"{}", b"", CONTENT + b" "], ids=["other", "emptied", "longer"])
    def test_what_is_not_what_was_put_is_refused(self, url: str, tampered: bytes) -> None:
        store = ArtifactStore(url)
        digest = store.put("run-1", CONTENT)
        store._write(store._path("run-1", f"{digest}.json"), tampered)

        with pytest.raises(ProblemError) as refused:
            store.get("run-1", digest)

        assert refused.value.problem.code == "run.results_not_stored"


class TestFiles:
    """`put_files` and `get_files`."""

    def test_the_files_of_a_run_are_there_again_on_another_machine(
        self, store: ArtifactStore, url: str, tmp_path: Path
    ) -> None:
        made = made_by_a_run(tmp_path / "worker")

        count = store.put_files("run-1", EXECUTION, tmp_path / "worker")
        ArtifactStore(url).get_files("run-1", EXECUTION, tmp_path / "server" / "run-1")

        assert count == len(made)
        assert files_below(tmp_path / "server" / "run-1") == made

    def test_only_this_user_may_look_at_what_comes(self, store: ArtifactStore, tmp_path: Path) -> None:
        made_by_a_run(tmp_path / "worker")
        store.put_files("run-1", EXECUTION, tmp_path / "worker")

        store.get_files("run-1", EXECUTION, tmp_path / "server")

        folders = [tmp_path / "server", *(path for path in (tmp_path / "server").rglob("*") if path.is_dir())]
        assert {mode_of(folder) for folder in folders} == {0o700}

    def test_a_file_that_is_there_already_stays(self, store: ArtifactStore, tmp_path: Path) -> None:
        made = made_by_a_run(tmp_path / "worker")
        store.put_files("run-1", EXECUTION, tmp_path / "worker")
        (tmp_path / "server").mkdir()
        (tmp_path / "server" / "picture.png").write_bytes(b"mine")

        store.get_files("run-1", EXECUTION, tmp_path / "server")

        assert files_below(tmp_path / "server") == {**made, "picture.png": b"mine"}

    def test_two_who_fetch_at_once_both_have_everything(self, store: ArtifactStore, tmp_path: Path) -> None:
        made = made_by_a_run(tmp_path / "worker")
        store.put_files("run-1", EXECUTION, tmp_path / "worker")

        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(store.get_files, "run-1", EXECUTION, tmp_path / "server") for _ in range(8)]:
                done.result()

        assert files_below(tmp_path / "server") == made

    def test_a_run_that_made_none_leaves_no_folder(self, store: ArtifactStore, tmp_path: Path) -> None:
        store.get_files("run-1", EXECUTION, tmp_path / "server")

        assert store.put_files("run-1", EXECUTION, tmp_path / "nothing") == 0
        assert not (tmp_path / "server").exists()

    def test_content_and_files_of_a_run_do_not_mix(self, store: ArtifactStore, tmp_path: Path) -> None:
        made = made_by_a_run(tmp_path / "worker")
        digest = store.put("run-1", CONTENT)

        store.put_files("run-1", EXECUTION, tmp_path / "worker")
        store.get_files("run-1", EXECUTION, tmp_path / "server")

        assert store.get("run-1", digest) == CONTENT
        assert files_below(tmp_path / "server") == made

    def test_links_and_what_is_no_file_are_not_kept(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "secret").write_text("secret")
        worker = tmp_path / "worker"
        worker.mkdir()
        (worker / "kept").write_bytes(b"kept")
        (worker / "link").symlink_to(tmp_path / "elsewhere" / "secret")
        (worker / "link-to-folder").symlink_to(tmp_path / "elsewhere")
        (worker / "nowhere").symlink_to(tmp_path / "nowhere")
        os.mkfifo(worker / "pipe")

        count = store.put_files("run-1", EXECUTION, worker)
        store.get_files("run-1", EXECUTION, tmp_path / "server")

        assert count == 1
        assert files_below(tmp_path / "server") == {"kept": b"kept"}

    @pytest.mark.parametrize("name", ["../evil", "a/../../evil", "../../../evil"])
    def test_a_name_that_leads_out_is_nobodys_file(self, tmp_path: Path, name: str) -> None:
        # Objects have any names; files of a folder cannot have these.
        store = ArtifactStore(f"memory://{uuid.uuid4().hex}/store")
        store._files.pipe_file(store._path("run-1", "files", EXECUTION, name), b"evil")
        store._files.pipe_file(store._path("run-1", "files", EXECUTION, "good"), b"good")

        store.get_files("run-1", EXECUTION, tmp_path / "server" / "run-1")

        assert files_below(tmp_path) == {"server/run-1/good": b"good"}

    def test_an_absolute_name_is_one_below_the_folder(self, tmp_path: Path) -> None:
        store = ArtifactStore(f"memory://{uuid.uuid4().hex}/store")
        store._files.pipe_file(store._path("run-1", "files", EXECUTION, "/etc/evil"), b"evil")

        store.get_files("run-1", EXECUTION, tmp_path / "server")

        assert files_below(tmp_path) == {"server/etc/evil": b"evil"}


class TestForgetting:
    """`forget`."""

    def test_everything_of_a_run_is_gone_and_nothing_of_another(self, store: ArtifactStore, tmp_path: Path) -> None:
        made_by_a_run(tmp_path / "worker")
        kept = store.put("run-2", CONTENT)
        digest = store.put("run-1", CONTENT)
        store.put_files("run-1", EXECUTION, tmp_path / "worker")

        store.forget("run-1")

        store.get_files("run-1", EXECUTION, tmp_path / "server")
        with pytest.raises(ProblemError):
            store.get("run-1", digest)
        assert not (tmp_path / "server").exists()
        assert store.get("run-2", kept) == CONTENT

    def test_a_run_of_which_nothing_is_there_may_be_forgotten(self, store: ArtifactStore) -> None:
        store.forget("nobody")

    def test_a_run_may_be_kept_again(self, store: ArtifactStore) -> None:
        store.forget("run-1")

        assert store.get("run-1", store.put("run-1", CONTENT)) == CONTENT


class TestIds:
    """Ids that are none of a run's lead nowhere."""

    @pytest.mark.parametrize(
        "run_id", ["", ".", "..", "../run-2", "/run-2", "run-1/../run-2", "a\x00b", "a\nb", "x" * 129]
    )
    def test_nothing_is_done_for_one(self, store: ArtifactStore, tmp_path: Path, run_id: str) -> None:
        made_by_a_run(tmp_path / "worker")
        digest = store.put("run-2", CONTENT)

        for call in (
            lambda: store.put(run_id, CONTENT),
            lambda: store.get(run_id, digest),
            lambda: store.put_files(run_id, EXECUTION, tmp_path / "worker"),
            lambda: store.get_files(run_id, EXECUTION, tmp_path / "server"),
            lambda: store.forget(run_id),
        ):
            with pytest.raises(ValueError, match="is no id of a run"):
                call()

        assert store.get("run-2", digest) == CONTENT
        assert not (tmp_path / "server").exists()

    @pytest.mark.parametrize("digest", ["../run-2/{}", "{}/../../run-2/{}", "", "."])
    def test_a_digest_that_is_none_finds_nothing(self, store: ArtifactStore, digest: str) -> None:
        kept = store.put("run-2", CONTENT)
        store.put("run-1", b"{}")

        with pytest.raises(ProblemError) as refused:
            store.get("run-1", digest.format(kept, kept))

        assert refused.value.problem.code == "run.results_not_stored"


class TestFolder:
    """What only a folder has."""

    def test_only_this_user_may_look_into_it(self, in_folder: ArtifactStore, folder: Path, tmp_path: Path) -> None:
        made_by_a_run(tmp_path / "worker")
        in_folder.put("run-1", CONTENT)
        in_folder.put_files("run-1", EXECUTION, tmp_path / "worker")

        assert {mode_of(path) for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o700}

    def test_a_link_that_somebody_puts_there_is_not_followed(
        self, in_folder: ArtifactStore, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        made = made_by_a_run(tmp_path / "worker")
        in_folder.put_files("run-1", EXECUTION, tmp_path / "worker")
        (folder / "run-1" / "files" / EXECUTION / "link").symlink_to(tmp_path / "secret")

        in_folder.get_files("run-1", EXECUTION, tmp_path / "server")

        assert files_below(tmp_path / "server") == made

    def test_one_that_is_there_keeps_its_mode(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o770)

        ArtifactStore(str(folder)).put("run-1", CONTENT)

        assert mode_of(folder) == 0o770

    def test_one_that_cannot_be_written_to_is_unavailable(self, in_folder: ArtifactStore, folder: Path) -> None:
        digest = in_folder.put("run-1", CONTENT)

        with unwritable(folder), pytest.raises(ProblemError) as refused:
            in_folder.put("run-2", CONTENT)

        problem = refused.value.problem
        assert (problem.code, problem.retry) == ("runtime.unavailable", "yes")
        assert "Permission denied" in problem.detail
        assert str(folder) not in problem.detail
        assert in_folder.get("run-1", digest) == CONTENT

    def test_one_in_whose_place_something_else_is_is_unavailable(
        self, in_folder: ArtifactStore, folder: Path, tmp_path: Path
    ) -> None:
        made_by_a_run(tmp_path / "worker")
        folder.rmdir()
        folder.write_text("a file")

        for call in (
            lambda: in_folder.put("run-1", CONTENT),
            lambda: in_folder.get("run-1", "0" * 64),
            lambda: in_folder.put_files("run-1", EXECUTION, tmp_path / "worker"),
        ):
            with pytest.raises(ProblemError) as refused:
                call()
            assert refused.value.problem.code == "runtime.unavailable"


class TestUrls:
    """Which stores there are."""

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("nonsense://runs", "Protocol not known: nonsense"),
            # s3fs and gcsfs are packages that nothing here installs.
            ("s3://bucket/runs", "Install s3fs"),
            ("gs://bucket/runs", "install gcsfs"),
        ],
    )
    def test_one_that_cannot_be_had_says_what_is_missing(self, url: str, message: str) -> None:
        with pytest.raises((ValueError, ImportError), match=message):
            ArtifactStore(url)

    def test_a_server_that_cannot_be_reached_is_unavailable(self) -> None:
        pytest.importorskip("aiohttp")
        store = ArtifactStore("http://127.0.0.1:1/runs")

        with pytest.raises(ProblemError) as refused:
            store.put("run-1", CONTENT)

        assert refused.value.problem.code == "runtime.unavailable"
