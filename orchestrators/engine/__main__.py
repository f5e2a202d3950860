"""`python -P -m orchestrators.engine CHANNEL_FD LIFE_FD`: started by a pool, never by hand."""

import sys

from orchestrators.engine.process import main

main(int(sys.argv[1]), int(sys.argv[2]))
