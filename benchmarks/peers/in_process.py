"""A peer: Pipelex called in this process, quiet, with graph and usage off.

Each line in, a JSON request, is a run; each line out is the time it took, in milliseconds.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from pipelex.pipelex import Pipelex
from pipelex.pipeline.runner import PipelexMTHDSProtocol

QUIET: dict[str, Any] = {
    "runtime": {
        "log": {
            "default_log_level": "WARNING",
            "console_print_target": "stderr",
            "pretty_print_mode": "silent",
            "package_log_levels": {"pipelex": "WARNING"},
        },
        "storage": {"method": "in_memory"},
        "tracing": {"is_enabled": False},
    },
    "interpreter": {"pipeline_execution": {"is_generate_graph": False, "is_generate_usage": False}},
    "inference": {"model_deck": {"missing_presets_reaction": "none"}},
}


async def main(answers: int) -> None:
    """Run what each line of stdin asks for, one at a time."""
    with Pipelex.make(config_overrides=QUIET):
        for line in sys.stdin:
            request = json.loads(line)
            begun = time.perf_counter()
            await PipelexMTHDSProtocol().execute(inputs=request["inputs"], mthds_contents=request["mthds_contents"])
            os.write(answers, b"%.6f\n" % ((time.perf_counter() - begun) * 1000))


if __name__ == "__main__":
    protocol = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(main(protocol))
