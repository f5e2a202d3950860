"""Importing the model SDKs before the first call needs them, while the engine has nothing to do."""

import asyncio
import contextlib
import importlib

from pipelex.base_exceptions import PipelexError

from orchestrators.engine.model_decks import TwoDeckModelManager

IDLE_S = 1.0
"""How long an engine has had nothing to do before it imports ahead."""

_WORKERS = {
    "openai": (
        "pipelex.providers.openai.openai_completions_llm_worker",
        "pipelex.providers.openai.openai_responses_llm_worker",
    ),
    "anthropic": ("pipelex.providers.anthropic.anthropic_llm_worker",),
    "google": ("pipelex.providers.google.google_llm_worker",),
    "mistral": ("pipelex.providers.mistral.mistral_llm_worker",),
}


def modules_for(models: TwoDeckModelManager) -> list[str]:
    """What the backends with a key will import at their first call, as far as their SDKs are known here.

    A local backend needs no key and is always configured, so it may well be unused.
    """
    backends = [backend for backend in models.inference_backend_library.root.values() if backend.api_key]
    sdks = {spec.sdk.split("_")[0] for backend in backends for spec in backend.model_specs.all_specs()}
    found = [module for sdk in sorted(sdks) for module in _WORKERS.get(sdk, ())]
    return [*found, "instructor"] if found else []


async def import_ahead(modules: list[str]) -> None:
    """Import each in a thread, with a pause between two so that a job that arrives is not kept waiting."""
    for module in modules:
        await asyncio.to_thread(_import_if_there, module)
        await asyncio.sleep(0)


def _import_if_there(module: str) -> None:
    # The SDK of a provider is an extra of Pipelex, and its absence is that provider's business.
    with contextlib.suppress(ImportError, PipelexError):
        importlib.import_module(module)
