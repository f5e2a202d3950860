"""Names in Temporal. They are on the wire and in histories, so none ever changes its meaning."""

RUN = "mthds.run"
"""The workflow of a run, and its activity."""
VALIDATE = "mthds.validate"
"""The workflow of a validation, and its local activity."""
VALIDATION_ID = r"validate-[0-9a-f]{32}"
"""What the workflow of a validation is called."""

ASKED = "mthds_asked"
"""The memo member that says what was asked for; `memo.Asked`."""
WAITING = "mthds_waiting"
"""The memo member with the event log so far of a run that a stopping worker handed back."""
ENDED = "mthds_ended"
"""The memo member that says how the run ended; `memo.Ended`."""

METHOD_ATTRIBUTE = "MthdsMethod"
"""The search attribute, a Keyword, by which runs of a method are found quickly where it is registered."""

RUNS = "runs"
"""How the identity of a worker that takes runs up ends."""

HANDED_BACK = "HANDED_BACK"
"""The state of an attempt that another worker shall repeat; not a state of a run."""
CANCELLED_BY_CALLER = "mthds-rpc: cancelled by a caller"
"""The reason given where a run is terminated since no worker is there to cancel it."""
LATE_FOR_CALLER = "mthds-rpc: not ended in time"
"""The reason given where a run is terminated since its deadline has passed and no worker ended it."""

LATE_S = 5.0
"""Seconds after its deadline until Temporal ends a run: its worker must have failed to by then."""
