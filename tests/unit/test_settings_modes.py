"""Which mode a request runs in: the policy first, then what is installed, then whether it can go on unattended."""

import pytest

from rpc_server.calls.mode_policy import resolve_orchestration_mode, resolve_start_mode
from rpc_server.settings.settings import Flags, Settings
from schemas.problem import Problem, ProblemError
from tests.support.settings import Machine


class Registry:
    """`direct` waits; `durable` goes on unattended."""

    def modes(self) -> list[str]:
        return ["direct", "durable"]

    def has(self, mode: str) -> bool:
        return mode in self.modes()

    def supports_fire_and_forget(self, mode: str) -> bool:
        return mode == "durable"


def settings(machine: Machine, mode: str = "direct", *, allow_override: bool = False) -> Settings:
    return machine.load(Flags(orchestration_mode=mode, allow_override=allow_override))


def refusal(requested: str | None, settings: Settings) -> Problem:
    with pytest.raises(ProblemError) as caught:
        resolve_start_mode(requested, settings, Registry())
    return caught.value.problem


@pytest.mark.parametrize("requested", [None, "direct"])
def test_the_configured_mode_is_always_honoured(machine: Machine, requested: str | None) -> None:
    assert resolve_orchestration_mode(requested, settings(machine), Registry()) == "direct"


def test_another_mode_counts_only_where_the_deployment_allows_it(machine: Machine) -> None:
    allowed = settings(machine, allow_override=True)

    assert resolve_orchestration_mode("durable", allowed, Registry()) == "durable"
    problem = refusal("durable", settings(machine))
    assert problem.code == "pipelex.deployment.orchestration_override_forbidden"
    assert problem.params == {"requested_mode": "durable"}


def test_the_policy_is_asked_before_the_registry(machine: Machine) -> None:
    assert refusal("nowhere", settings(machine)).code == "pipelex.deployment.orchestration_override_forbidden"


def test_a_mode_the_caller_names_and_nobody_serves_is_unsupported(machine: Machine) -> None:
    problem = refusal("temporal", settings(machine, allow_override=True))

    assert problem.code == "runtime.unsupported"
    assert "Installed: direct, durable." in problem.detail
    assert "pip install --upgrade 'mthds-rpc[temporal]'" in problem.next_step.detail


def test_a_mode_the_deployment_names_and_nobody_serves_is_the_deployment_s_fault(machine: Machine) -> None:
    problem = refusal(None, settings(machine, mode="homemade"))

    assert problem.code == "pipelex.plugin.not_found"
    assert problem.next_step.kind == "fix_configuration"
    assert problem.params == {
        "setting": "orchestration_mode",
        "value": "homemade",
        "available": ["direct", "durable"],
    }


def test_start_needs_a_mode_that_goes_on_unattended(machine: Machine) -> None:
    allowed = settings(machine, allow_override=True)

    assert resolve_start_mode("durable", allowed, Registry()) == "durable"
    problem = refusal("direct", allowed)
    assert problem.params == {"capability": "start", "orchestration_mode": "direct"}
    assert "name one of durable" in problem.next_step.detail


def test_no_mode_is_proposed_that_the_policy_forbids(machine: Machine) -> None:
    assert "durable as" not in refusal(None, settings(machine)).next_step.detail
