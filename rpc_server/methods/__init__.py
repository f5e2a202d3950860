"""The wire methods, one module per method or family."""

from rpc_server.dispatch import MethodTable, method_table
from rpc_server.methods import discover, execute, models, runs, start, validate, version, workspace_methods
from rpc_server.methods.services import Services


def all_methods(services: Services) -> MethodTable:
    """Every wire method of the plain side, by name."""
    modules = (execute, start, validate, models, version, runs, workspace_methods, discover)
    return method_table(*(module.specs(services) for module in modules))
