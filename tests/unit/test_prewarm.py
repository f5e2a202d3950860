"""Which model SDKs an idle engine imports ahead."""

from pathlib import Path

import pytest
from pipelex.cogt.model_backends.backend import InferenceBackend
from pipelex.cogt.model_backends.model_spec import InferenceModelSpec
from pipelex.cogt.model_backends.model_spec_index import ModelSpecIndex
from pipelex.cogt.model_backends.model_type import ModelType

from orchestrators.engine.model_decks import TwoDeckModelManager
from orchestrators.engine.prewarm import modules_for


def backend(name: str, sdk: str, api_key: str | None) -> InferenceBackend:
    spec = InferenceModelSpec.model_validate(
        {
            "backend_name": name,
            "name": "a-model",
            "sdk": sdk,
            "model_type": ModelType.LLM,
            "model_id": "a-model",
            "costs": {},
            "thinking_mode": "none",
            "max_tokens": None,
            "max_prompt_images": None,
        }
    )
    return InferenceBackend(name=name, api_key=api_key, model_specs=ModelSpecIndex.make_from_specs(model_specs=[spec]))


@pytest.fixture
def models(tmp_path: Path) -> TwoDeckModelManager:
    return TwoDeckModelManager(tmp_path)


def test_a_backend_with_a_key_has_its_sdk_imported(models: TwoDeckModelManager) -> None:
    models.inference_backend_library.root = {"anthropic": backend("anthropic", "anthropic", "a-key")}

    assert modules_for(models) == ["pipelex.providers.anthropic.anthropic_llm_worker", "instructor"]


def test_a_local_backend_which_needs_no_key_has_nothing_imported(models: TwoDeckModelManager) -> None:
    models.inference_backend_library.root = {"ollama": backend("ollama", "openai", None)}

    assert modules_for(models) == []
