"""Reads payloads: one that cannot be read becomes None, and ends nothing.

temporalio fails the workflow task or the activity over such a payload, and Temporal then tries it again without end.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultPayloadConverter

logger = logging.getLogger(__name__)


class TolerantPayloadConverter(DefaultPayloadConverter):
    """temporalio's converter, with None for what it cannot read: workflows and activities check what they get."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Never raises."""
        hints: list[Any] = [*(type_hints or [])][: len(payloads)]
        hints += [None] * (len(payloads) - len(hints))
        return [self._value(payload, hint) for payload, hint in zip(payloads, hints, strict=True)]

    def _value(self, payload: Payload, hint: Any) -> Any:
        try:
            return super().from_payloads([payload], None if hint is None else [hint])[0]
        except Exception as error:  # noqa: BLE001 - converters raise anything for foreign bytes
            # Neither the bytes nor the message, which may hold them: both can be long.
            logger.warning("a payload cannot be read (%s)", type(error).__name__)
            return None


DATA_CONVERTER = replace(DataConverter.default, payload_converter_class=TolerantPayloadConverter)
"""The converter of every connection."""
