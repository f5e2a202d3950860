"""What this server is and speaks; constants, since looking them up would cost a third of its start."""

SERVER = "0.1.0"
PIPELEX = "0.92.2"
MTHDS_PROTOCOL = "2.0.0"
