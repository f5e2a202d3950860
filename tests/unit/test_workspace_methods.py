"""Reading a method out of the workspace: which files belong to it, where it starts, which packages it brings."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from rpc_server.settings.settings import Flags
from rpc_server.workspace.dependencies import addresses_in
from rpc_server.workspace.method_folders import entry_pipe
from rpc_server.workspace.workspace import Workspace
from schemas.method_source import Base64File, MethodSource
from schemas.params import MethodParams
from schemas.problem import ProblemError
from tests.support.settings import Machine

BUNDLE = 'domain = "{domain}"\nmain_pipe = "go"\n[pipe.go]\ntype = "PipeCompose"\n'
MANIFEST = '[package]\nname = "{name}"\naddress = "github.com/acme/methods"\nversion = "1.0.0"\ndescription = "d"\n'
CALLER = 'domain = "caller"\nsteps = [{ pipe = "github.com/acme/methods/greeter@v1->greeting.greet" }]\n'


@pytest.fixture
def workspace(machine: Machine) -> Workspace:
    """The project as a workspace."""
    return Workspace.of(machine.load(Flags(workspace=machine.project)))


async def read(workspace: Workspace, **params: Any) -> MethodSource:
    """The source of a request's method."""
    return await workspace.method_source(MethodParams.model_validate(params))


async def problem_of(workspace: Workspace, **params: Any) -> tuple[str, str]:
    """Code and detail of the problem that refuses a request's method."""
    with pytest.raises(ProblemError) as caught:
        await read(workspace, **params)
    return caught.value.problem.code, caught.value.problem.detail


@pytest.mark.anyio
async def test_a_folder_is_read_whole_as_the_standard_draws_it(workspace: Workspace, machine: Machine) -> None:
    folder = machine.project / "reports"
    machine.write(folder, "main.mthds", BUNDLE)
    machine.write(folder / "deep", "logo.svg", "<svg/>")
    machine.write(folder, ".gitignore", "*.tmp\n")
    for left_out in ("scratch.tmp", "inputs.json", ".hidden"):
        machine.write(folder, left_out, "")
    machine.write(folder / "node_modules", "x.mthds", "")
    (folder / "data.bin").write_bytes(b"\xff\0")

    source = await read(workspace, method="reports")

    assert source.files == {
        "data.bin": Base64File(base64=base64.b64encode(b"\xff\0").decode()),
        "deep/logo.svg": "<svg/>",
        "main.mthds": BUNDLE,
    }
    assert (source.origin, source.entry) == ("reports", None)


@pytest.mark.anyio
async def test_a_bundle_outside_packages_is_a_method_of_its_own(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)
    machine.write(machine.project / "reports", "other.mthds", BUNDLE)

    source = await read(workspace, method="reports/main.mthds")

    assert source.files == {"main.mthds": BUNDLE}
    assert (source.origin, entry_pipe(source)) == ("reports", None)


@pytest.mark.anyio
async def test_a_bundle_of_a_package_brings_the_package_and_starts_the_run(
    workspace: Workspace, machine: Machine
) -> None:
    package = machine.project / "package"
    machine.write(package, "METHODS.toml", MANIFEST.format(name="reports"))
    machine.write(package, "first.mthds", BUNDLE.format(domain="first"))
    machine.write(package / "sub", "second.mthds", BUNDLE.format(domain="second"))

    source = await read(workspace, method="package/sub/second.mthds")

    assert source.files is not None
    assert sorted(source.files) == ["METHODS.toml", "first.mthds", "sub/second.mthds"]
    assert source.origin == "package"
    assert entry_pipe(source) == "second.go"


@pytest.mark.anyio
async def test_a_folder_of_a_package_is_the_package(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "package", "METHODS.toml", MANIFEST.format(name="reports"))
    machine.write(machine.project / "package" / "sub", "second.mthds", BUNDLE)

    source = await read(workspace, method="package/sub")

    assert (source.origin, entry_pipe(source)) == ("package", None)


@pytest.mark.anyio
async def test_a_bundle_of_a_package_that_names_no_pipe_asks_for_one(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "package", "METHODS.toml", MANIFEST.format(name="reports"))
    machine.write(machine.project / "package", "main.mthds", 'domain = "d"\n[pipe.b]\n[pipe.a]\n')
    source = await read(workspace, method="package/main.mthds")

    with pytest.raises(ProblemError) as caught:
        entry_pipe(source)

    assert caught.value.problem.code == "request.pipe_unspecified"
    assert caught.value.problem.params == {"candidates": ["a", "b"]}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["absent", "absent.mthds", "notes.txt", "empty", "textual", "x" * 5000])
async def test_what_is_no_method_is_not_found(workspace: Workspace, machine: Machine, path: str) -> None:
    machine.write(machine.project, "notes.txt", "")
    (machine.project / "empty").mkdir()
    machine.write(machine.project / "textual", "notes.txt", "")

    code, detail = await problem_of(workspace, method=path)

    assert code == "method.not_found"
    assert str(machine.project) not in detail


@pytest.mark.anyio
async def test_a_tree_that_the_standard_refuses_is_refused(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)
    (machine.project / "reports" / "link.mthds").symlink_to("main.mthds")

    code, detail = await problem_of(workspace, method="reports")

    assert code == "method.package_invalid"
    assert detail == "The standard refuses the files of 'reports': symbolic link (link.mthds)."


@pytest.mark.anyio
async def test_a_broken_manifest_is_refused_with_its_fault(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "reports", "METHODS.toml", "[package\n")
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)

    code, detail = await problem_of(workspace, method="reports")

    assert code == "method.package_invalid"
    assert "The METHODS.toml of 'reports' cannot be read: " in detail
    assert "line 1" in detail


@pytest.mark.anyio
async def test_a_method_whose_manifest_lies_above_the_workspace_is_refused(machine: Machine) -> None:
    machine.write(machine.project, "METHODS.toml", MANIFEST.format(name="reports"))
    machine.write(machine.project / "sub", "main.mthds", BUNDLE)
    inner = Workspace.of(machine.load(Flags(workspace=machine.project / "sub")))

    code, detail = await problem_of(inner, method="main.mthds")

    assert code == "security.input_path_refused"
    assert "above the workspace" in detail


@pytest.mark.anyio
@pytest.mark.parametrize(("limit", "reason"), [("max_method_files", "files"), ("max_file_bytes", "bytes in one file")])
async def test_a_method_above_a_limit_is_refused(machine: Machine, limit: str, reason: str) -> None:
    machine.write(machine.pipelex_home, "rpc_override.toml", f"[workspace]\n{limit} = 1\n")
    workspace = Workspace.of(machine.load(Flags(workspace=machine.project)))
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)
    machine.write(machine.project / "reports", "more.txt", "more")

    code, detail = await problem_of(workspace, method="reports")

    assert code == "method.package_invalid"
    assert detail == f"The method 'reports' passes the limit of 1 {reason}."


@pytest.mark.anyio
async def test_files_of_the_request_may_be_named_by_path(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project, "main.mthds", BUNDLE)

    source = await read(workspace, files={"a.mthds": {"path": "main.mthds"}, "b.txt": "as it is", "c": {"base64": ""}})

    assert source.files == {"a.mthds": BUNDLE, "b.txt": "as it is", "c": Base64File(base64="")}


@pytest.mark.anyio
@pytest.mark.parametrize("params", [{}, {"method": "a", "mthds_contents": ["b"]}])
async def test_the_method_is_given_exactly_once(workspace: Workspace, params: dict[str, Any]) -> None:
    code, _ = await problem_of(workspace, **params)

    assert code == "request.invalid"


def install(machine: Machine, root: Path, template: str) -> None:
    """Install the package github.com/acme/methods/greeter below a folder."""
    store = root / ".mthds" / "methods"
    machine.write(store / "greeter", "METHODS.toml", MANIFEST.format(name="greeter"))
    machine.write(store / "greeter", "greeting.mthds", template)
    machine.write(store / "broken", "METHODS.toml", "[")
    machine.write(store / "nameless", "METHODS.toml", "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "params", [{"method": "caller.mthds"}, {"mthds_contents": [CALLER]}, {"files": {"c.mthds": CALLER}}]
)
async def test_a_package_that_is_called_by_address_comes_along(
    workspace: Workspace, machine: Machine, params: dict[str, Any]
) -> None:
    machine.write(machine.project, "caller.mthds", CALLER)
    install(machine, machine.home, "the user's")

    source = await read(workspace, **params)

    assert list(source.dependencies) == ["github.com/acme/methods/greeter"]
    assert source.dependencies["github.com/acme/methods/greeter"]["greeting.mthds"] == "the user's"


@pytest.mark.anyio
async def test_the_nearest_installed_package_counts(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "team", "caller.mthds", CALLER)
    install(machine, machine.home, "the user's")
    install(machine, machine.project, "the project's")
    install(machine, machine.project / "team", "the team's")

    near = await read(workspace, method="team")
    far = await read(workspace, mthds_contents=[CALLER])

    assert near.dependencies["github.com/acme/methods/greeter"]["greeting.mthds"] == "the team's"
    assert far.dependencies["github.com/acme/methods/greeter"]["greeting.mthds"] == "the project's"


@pytest.mark.anyio
async def test_a_package_that_came_with_the_request_counts(workspace: Workspace, machine: Machine) -> None:
    install(machine, machine.project, "the project's")
    given = {"GitHub.com/acme/methods/greeter": {"greeting.mthds": "the caller's"}}

    source = await read(workspace, mthds_contents=[CALLER], dependencies=given)

    assert source.dependencies == given


@pytest.mark.anyio
async def test_a_project_s_store_is_not_followed_out_of_the_project(workspace: Workspace, machine: Machine) -> None:
    install(machine, machine.home / "elsewhere", "out of reach")
    store = machine.project / ".mthds" / "methods"
    store.mkdir(parents=True)
    (store / "greeter").symlink_to(machine.home / "elsewhere" / ".mthds" / "methods" / "greeter")

    source = await read(workspace, mthds_contents=[CALLER])

    assert source.dependencies == {}


@pytest.mark.anyio
@pytest.mark.parametrize("link", [".mthds", ".mthds/methods"])
async def test_a_project_s_store_that_is_a_link_is_not_followed_either(
    workspace: Workspace, machine: Machine, link: str
) -> None:
    install(machine, machine.home / "elsewhere", "out of reach")
    (machine.project / link).parent.mkdir(exist_ok=True)
    (machine.project / link).symlink_to(machine.home / "elsewhere" / link)

    source = await read(workspace, mthds_contents=[CALLER])

    assert source.dependencies == {}


@pytest.mark.anyio
@pytest.mark.parametrize("link", [".mthds", ".mthds/methods", ".mthds/methods/greeter"])
async def test_the_user_s_own_store_may_be_a_link(workspace: Workspace, machine: Machine, link: str) -> None:
    install(machine, machine.home / "elsewhere", "the user's")
    (machine.home / link).parent.mkdir(parents=True, exist_ok=True)
    (machine.home / link).symlink_to(machine.home / "elsewhere" / link)

    source = await read(workspace, mthds_contents=[CALLER])

    assert list(source.dependencies) == ["github.com/acme/methods/greeter"]


@pytest.mark.anyio
async def test_a_package_with_a_hostile_manifest_is_as_one_that_is_not_there(
    workspace: Workspace, machine: Machine
) -> None:
    install(machine, machine.project, "the project's")
    for name, text in (("deep", "a = " + "[" * 2000), ("long", ".".join(["a"] * 1001) + " = 1")):
        machine.write(machine.project / ".mthds" / "methods" / name, "METHODS.toml", text)

    source = await read(workspace, mthds_contents=[CALLER])

    assert list(source.dependencies) == ["github.com/acme/methods/greeter"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ('"a/b->c.d"', {"a/b"}),
        ("'a/b@v1->c.d'", {"a/b"}),
        ('"a/b->c/d->e"', {"a/b->c/d"}),
        ('"a->b/c"', set()),
        ('"a b/c->d"', set()),
        ("\"it's/x->y", {"s/x"}),
        ("\"a/b->c\" 'd/e->f'", {"a/b", "d/e"}),
        ('"' + "/" * 30_000 + " ->", set()),
        ('"/' * 500_000 + "->", {"/"}),
        ("/->" * 300_000, set()),
        ('"' + "/->" * 300_000, {"/->" * 299_999 + "/"}),
    ],
)
async def test_addresses_are_found_in_one_go(text: str, addresses: set[str]) -> None:
    assert addresses_in([text]) == addresses


@pytest.mark.anyio
@pytest.mark.parametrize(
    "manifest",
    [
        "a = " + "[" * 2000,
        ".".join(["a"] * 1001) + " = 1",
        "[package]\nexclude = 1\n",
        "a = " + "9" * 5000,
        "#" * 2_000_000,
    ],
)
async def test_a_hostile_manifest_is_refused_with_its_fault(
    workspace: Workspace, machine: Machine, manifest: str
) -> None:
    machine.write(machine.project / "reports", "METHODS.toml", manifest)
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)

    code, detail = await problem_of(workspace, method="reports")

    assert code == "method.package_invalid"
    assert "The METHODS.toml of 'reports' cannot be read: " in detail


@pytest.mark.anyio
@pytest.mark.parametrize(
    "patterns",
    ["**/a/" * 200 + "b", "a" + "\u0315\u0300" * 100_000, "#" * 2_000_000],
)
async def test_a_hostile_gitignore_is_bounded(workspace: Workspace, machine: Machine, patterns: str) -> None:
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)
    machine.write(machine.project / "reports", ".gitignore", patterns)
    for number in range(20):
        machine.write(machine.project / "reports" / ("a/" * 20), f"{'a' * 60}{number}", "")

    try:
        source = await read(workspace, method="reports")
    except ProblemError as error:
        assert error.problem.code == "method.package_invalid"  # noqa: PT017
    else:
        assert source.files is not None
        assert len(source.files) == 21


@pytest.mark.anyio
@pytest.mark.parametrize("name", [b"bad\xff.txt", b"line\nbreak.txt"])
async def test_an_unprintable_name_is_reported_with_escapes(
    workspace: Workspace, machine: Machine, name: bytes
) -> None:
    machine.write(machine.project / "reports", "main.mthds", BUNDLE)
    machine.write(machine.project / "reports", os.fsdecode(name), "")

    code, detail = await problem_of(workspace, method="reports")

    assert code == "method.package_invalid"
    detail.encode()
    assert detail.isprintable()


@pytest.mark.anyio
async def test_a_bundle_too_large_to_look_into_still_is_a_method(workspace: Workspace, machine: Machine) -> None:
    machine.write(machine.project / "package", "METHODS.toml", MANIFEST.format(name="reports"))
    machine.write(machine.project / "package", "main.mthds", BUNDLE + "#" * 2_000_000)

    source = await read(workspace, method="package/main.mthds")

    assert (source.entry, entry_pipe(source)) == ("main.mthds", None)


@pytest.mark.anyio
async def test_without_a_workspace_a_method_can_still_be_sent(machine: Machine) -> None:
    nowhere = Workspace.of(machine.load(cwd=Path("/")))
    install(machine, machine.home, "the user's")

    sent = await read(nowhere, mthds_contents=[CALLER])
    code, detail = await problem_of(nowhere, method="caller.mthds")

    assert list(sent.dependencies) == ["github.com/acme/methods/greeter"]
    assert code == "security.input_path_refused"
    assert "the server was started in /" in detail
