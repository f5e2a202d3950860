"""Putting the late half of the MCP face together, at the first request that needs it."""

from orchestrators.artifact_scope import artifacts_folder
from rpc_server.calls.errors import ErrorMapping
from rpc_server.calls.services import Services
from rpc_server.mcp.completions import Completions
from rpc_server.mcp.picture.run_pictures import RunPictures
from rpc_server.mcp.prompts import Prompts
from rpc_server.mcp.protocol.caller import Session
from rpc_server.mcp.protocol.catalog import Catalog, listed
from rpc_server.mcp.protocol.server import Failures, McpServer
from rpc_server.mcp.protocol.subscriptions import Announcements, Subscriptions
from rpc_server.mcp.resources import FixedResources, MethodResources, RunResources
from rpc_server.mcp.tools.builtin_tools import BuiltinTools
from rpc_server.mcp.tools.method_tools import open_method_tools
from rpc_server.mcp.tools.run_calls import RunCalls
from rpc_server.mcp.tools.run_results import RunResults
from rpc_server.mcp.tools.task_requests import RunTasks
from rpc_server.mcp.tools.tool_specs import TOOLS
from rpc_server.redaction import Redactor
from rpc_server.wire.peer import Peer


async def open_mcp(
    services: Services, session: Session, peer: Peer, redactor: Redactor, mapping: ErrorMapping
) -> McpServer:
    """The server of one peer. It lives as long as `services`, whose background it uses."""
    settings = services.settings.mcp
    pictures = RunPictures(services)
    results = RunResults(settings.inline_bytes, pictures)
    failures = Failures(mapping, redactor, settings.inline_bytes)
    tasks = RunTasks(services, results, failures)
    announcements = Announcements(session, peer)
    completions = Completions(services)
    runs = RunCalls(services, results, peer)
    plugged = services.plugins.features()
    for family in plugged:
        family.announce = announcements.announce
    theirs = [tool["name"] for family in plugged for tool in await listed(family.tools)]
    reserved = [*(tool.name for tool in TOOLS), *theirs]
    method_tools = open_method_tools(services, runs.run_method, reserved, announcements.announce_methods)
    subscriptions = Subscriptions(
        services, peer, announcements, task_of=tasks.detailed, watch_methods=method_tools.index.current
    )
    families = [
        BuiltinTools(services, runs, results, method_tools),
        *plugged,
        # After the plugins: a name that is not known here makes it look at the disk.
        method_tools,
        Prompts(completions),
        FixedResources(),
        MethodResources(services, completions),
        RunResources(services, completions, pictures, artifacts_folder(services.state_dir)),
    ]
    return McpServer(Catalog(families), subscriptions, tasks, failures)
