"""The resources."""

import json
import re
from typing import Any

from mthds_rpc_conformance.contents import RED_PIXEL_PNG

CONTENTS: dict[str, dict[str, Any]] = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": RED_PIXEL_PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched resource content"},
}
TEMPLATE = "test://template/{id}/data"


def definitions() -> list[dict[str, Any]]:
    return [
        {"uri": uri, "name": uri.removeprefix("test://"), "mimeType": content["mimeType"]}
        for uri, content in CONTENTS.items()
    ]


def templates() -> list[dict[str, Any]]:
    return [{"uriTemplate": TEMPLATE, "name": "template", "mimeType": "application/json"}]


def read(uri: str) -> list[dict[str, Any]] | None:
    """The contents of a resource; None for one that is not here."""
    if uri in CONTENTS:
        return [{"uri": uri, **CONTENTS[uri]}]
    found = re.fullmatch(r"test://template/([^/]+)/data", uri)
    if found is None:
        return None
    data = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
    return [{"uri": uri, "mimeType": "application/json", "text": json.dumps(data)}]
