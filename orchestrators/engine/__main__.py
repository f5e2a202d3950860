"""An engine, begun with the numbers of two descriptors, CHANNEL_FD and LIFE_FD: by a pool, never by hand."""

import sys

from orchestrators.engine.process import main

main(int(sys.argv[1]), int(sys.argv[2]))
