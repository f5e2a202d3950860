"""What the exit status of a command says, as its help shows it."""

CONFIGURATION_FAULT = 78
"""`EX_CONFIG` of sysexits."""
INTERRUPTED = 130

EXIT_STATUSES = f"""\
exit status:
  0    done: the run completed, the method is valid
  1    the call failed: the answer is an error
  2    the command line is wrong
  3    `call validate`: the method is not valid
  69   this system cannot run mthds-rpc (Windows: use WSL)
  {CONFIGURATION_FAULT}   a setting cannot be used; the line on stderr names file, line and key
  {INTERRUPTED}  interrupted with Ctrl-C; the run was cancelled"""
