"""What plugins may register, and what becomes of two that want the same."""

import pytest

from orchestrators.plugins.contract import PluginContext, PluginFault
from orchestrators.plugins.registrar import PluginOrigin, Registrar, Registrations
from schemas.problem import NextStep, Problem

FIRST = PluginOrigin("first", "dist-one", "1.0")
SECOND = PluginOrigin("second", "dist-two", "2.0")


def factory(context: PluginContext) -> None:
    raise AssertionError("nothing is built by registering")


def problem(error: BaseException) -> Problem:
    return Problem(code="x.y", title="t", detail="d", next_step=NextStep(kind="retry", detail="n"))


def registrar(origin: PluginOrigin, mode: str) -> Registrar:
    made = Registrar(origin)
    made.add_orchestrator(mode, factory, supports_fire_and_forget=True)
    return made


def test_what_a_plugin_registers_is_kept_with_its_origin() -> None:
    registrations = Registrations()
    made = registrar(FIRST, "here")
    made.add_bundle_validator("here", factory)

    registrations.merge(made)

    assert registrations.orchestrators["here"].origin == FIRST
    assert registrations.orchestrators["here"].value.supports_fire_and_forget
    assert registrations.validators["here"].origin == FIRST


def test_a_token_registered_twice_names_both_plugins_and_their_distributions() -> None:
    registrations = Registrations()
    registrations.merge(registrar(FIRST, "here"))

    with pytest.raises(PluginFault) as raised:
        registrations.merge(registrar(SECOND, "here"))

    assert str(raised.value) == (
        "the orchestration mode 'here' is registered by two plugins, 'first' (dist-one 1.0) and 'second' (dist-two"
        " 2.0); disable one of them under [plugins] in rpc_override.toml"
    )


def test_a_validator_registered_twice_names_both_plugins() -> None:
    registrations = Registrations()
    for origin in (FIRST, SECOND):
        made = Registrar(origin)
        made.add_bundle_validator("here", factory)
        if origin is FIRST:
            registrations.merge(made)

    with pytest.raises(PluginFault, match="the bundle validator 'here' .* 'first' .* 'second'"):
        registrations.merge(made)


def test_a_plugin_that_registers_a_token_twice_is_refused() -> None:
    made = registrar(FIRST, "here")
    made.add_orchestrator("here", factory, supports_fire_and_forget=False)

    with pytest.raises(PluginFault, match="'here' is registered twice by the plugin 'first'"):
        Registrations().merge(made)


def test_a_plugin_that_is_refused_contributes_nothing() -> None:
    registrations = Registrations()
    registrations.merge(registrar(FIRST, "here"))
    rival = registrar(SECOND, "elsewhere")
    rival.add_orchestrator("here", factory, supports_fire_and_forget=False)
    rival.add_teardown(lambda: None)

    with pytest.raises(PluginFault):
        registrations.merge(rival)

    assert list(registrations.orchestrators) == ["here"]
    assert registrations.teardowns == []


@pytest.mark.parametrize("code", [-31900, -31999])
def test_an_error_code_of_the_plugins_range_is_taken(code: int) -> None:
    made = Registrar(FIRST)

    made.add_error_mapper(lambda: OSError, problem, rpc_code=code)

    assert [mapper.rpc_code for mapper in made.error_mappers] == [code]


@pytest.mark.parametrize("code", [-31899, -32000, -32602, 1])
def test_an_error_code_out_of_the_plugins_range_is_refused_at_registration(code: int) -> None:
    with pytest.raises(PluginFault, match=rf"'first' \(dist-one 1.0\) claims the error code {code}"):
        Registrar(FIRST).add_error_mapper(lambda: OSError, problem, rpc_code=code)


def test_an_error_code_that_two_plugins_claim_names_both() -> None:
    registrations = Registrations()
    for origin in (FIRST, SECOND):
        made = Registrar(origin)
        made.add_error_mapper(lambda: OSError, problem, rpc_code=-31901)
        if origin is FIRST:
            registrations.merge(made)

    with pytest.raises(PluginFault, match="the error code -31901 .* 'first' .* 'second'"):
        registrations.merge(made)


def test_a_plugin_may_give_several_errors_one_code() -> None:
    made = Registrar(FIRST)
    made.add_error_mapper(lambda: OSError, problem, rpc_code=-31901)
    made.add_error_mapper(lambda: KeyError, problem, rpc_code=-31901)
    registrations = Registrations()

    registrations.merge(made)

    assert len(registrations.error_mappers) == 2
