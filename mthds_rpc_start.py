"""How every mthds-rpc process begins: the entries of PYTHONPATH move to the end of the import path.

Our packages and the standard library have names that any project may use as well: `schemas`, `types`, `logging`. If
PYTHONPATH leads into such a project, its modules would be imported instead of our own. So this module, whose name is
unique, comes first and imports nothing but what the interpreter has loaded by itself. A method's own Python,
and plugins, are still found on PYTHONPATH, and so are they by what they start: the variable stays as it is.
"""

import os
import sys

_KEPT = "MTHDS_RPC_PYTHONPATH"
_OWN = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = ("rpc_server", "orchestrators", "schemas")
_CODE = "from mthds_rpc_start import run; run()"


def entry() -> None:
    """The command `mthds-rpc`."""
    put_pythonpath_last()
    from rpc_server.cli import entry

    entry()


def command(module: str) -> tuple[str, ...]:
    """What starts `module` in a process of its own, as `python -m` would; that cannot be itself kept from harm."""
    return (sys.executable, "-P", "-c", _CODE, module)


def run() -> None:
    """Run the module that `command` named."""
    put_pythonpath_last()
    import runpy

    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def put_pythonpath_last() -> None:
    """Move what PYTHONPATH, the user's site and the script's folder bring to the end of `sys.path`.

    Where the interpreter itself has taken one of them for a module of the standard library, the process is begun anew.
    """
    kept = os.environ.pop(_KEPT, None)
    if kept is not None:
        os.environ["PYTHONPATH"] = kept
    moved = _entries() - {_OWN, os.path.dirname(os.__file__)}
    if kept is None and not moved.isdisjoint(sys.path) and _holds_harm(moved):
        _begin_anew()
    first = [entry for entry in sys.path if entry not in moved]
    last = [entry for entry in sys.path if entry in moved]
    if kept is not None:
        last += [entry for entry in _of_variable() if entry not in sys.path]
    sys.path[:] = [*first, *last]


def _entries() -> set[str]:
    entries = set(_of_variable())
    user_site = getattr(sys.modules.get("site"), "USER_SITE", None)
    if user_site is not None:
        entries.add(user_site)
    if not sys.flags.safe_path and sys.path:
        # The folder of the script, or the working directory.
        entries.add(sys.path[0])
    return entries


def _of_variable() -> list[str]:
    text = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    return [os.path.abspath(entry) for entry in text.split(os.pathsep)] if text else []


def _holds_harm(moved: set[str]) -> bool:
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in _PACKAGES:
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and any(file.startswith(entry + os.sep) for entry in moved):
                return True
    return False


def _begin_anew() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment[_KEPT] = os.environ.get("PYTHONPATH", "")
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
