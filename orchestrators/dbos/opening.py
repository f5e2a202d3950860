"""Opening the database that the settings name, for a server and for a worker alike."""

from orchestrators.dbos.database import Database
from orchestrators.dbos.settings import DbosSettings, resolved_url
from orchestrators.plugins.contract import PluginContext, SettingFault
from schemas.problem import ProblemError, problem_error


def open_database(context: PluginContext, *, follows: bool = True) -> tuple[DbosSettings, Database]:
    """The settings and the open database of a process; `follows` as `Database` takes it. Blocks.

    Raises `ProblemError`.
    """
    settings = DbosSettings.of(context.settings)
    try:
        url = resolved_url(settings, context.state_dir, context.environment)
    except SettingFault as fault:
        raise _misconfigured(fault) from fault
    return settings, Database.open(url, follows=follows)


def _misconfigured(fault: SettingFault) -> ProblemError:
    return problem_error(
        "runtime.misconfigured",
        f"The setting {'.'.join(fault.key)} of rpc_dbos.toml {fault.message}.",
        next_step=("fix_configuration", "Correct it, then start again; `mthds-rpc config` says where it is set."),
        params={"component": "orchestrator"},
    )
