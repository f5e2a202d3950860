"""The ledger's own tables, beside those of DBOS in the same database: a run is kept and queued in one transaction."""

import sqlalchemy as sa


def writable(text: str) -> str:
    """A text as every database takes it: half a surrogate pair, and NUL, become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def is_clean(text: object) -> bool:
    """Whether this is a text that every database takes as it is."""
    return isinstance(text, str) and writable(text) == text


SCHEMA = "mthds_rpc"
"""The Postgres schema; SQLite has none, so the names of the tables say that they are the ledger's."""

metadata = sa.MetaData(schema=SCHEMA)

runs = sa.Table(
    "mthds_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("method", sa.Text),
    sa.Column("pipe", sa.Text),
    # Times are seconds since the epoch, by the clock of the process that wrote them.
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("deadline", sa.Double),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("cancel_asked_at", sa.Double),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("executor", sa.Text),
    sa.Column("event_count", sa.Integer, nullable=False, default=0),
    sa.Column("problem", sa.Text),
    # How often a worker that stopped gave it back.
    sa.Column("hand_backs", sa.Integer, nullable=False, default=0, server_default="0"),
)
sa.Index("mthds_runs_by_age", runs.c.created_at, runs.c.run_id)
sa.Index("mthds_runs_by_state", runs.c.state, runs.c.created_at, runs.c.run_id)
sa.Index("mthds_runs_by_method", runs.c.method, runs.c.created_at, runs.c.run_id)

results = sa.Table(
    "mthds_results",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("result", sa.Text, nullable=False),
)

events = sa.Table(
    "mthds_events",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("event", sa.Text, nullable=False),
)

executors = sa.Table(
    "mthds_executors",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("beat", sa.BigInteger, nullable=False),
    # By the database's clock; for people, never used to declare a worker dead.
    sa.Column("beat_at", sa.Double, nullable=False),
)

ledger = sa.Table(
    "mthds_ledger",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    # The version that a release has to know to use these tables.
    sa.Column("needs", sa.Integer, nullable=False),
    sa.Column("release", sa.Text, nullable=False),
    # What ages are counted by, in seconds since the epoch, and the time by the clock that moved it.
    sa.Column("age_clock", sa.Double),
    sa.Column("age_clock_moved_at", sa.Double),
)
"""One row: the version of these tables, and the release that made them."""

schema_version = sa.Table("mthds_schema", metadata, sa.Column("dbos", sa.Text, primary_key=True))
"""The release of DBOS that made its tables last."""

queued = sa.Table(
    "workflow_status",
    sa.MetaData(schema="dbos"),
    sa.Column("workflow_uuid", sa.Text, primary_key=True),
    sa.Column("status", sa.Text),
    sa.Column("queue_name", sa.Text),
    sa.Column("executor_id", sa.Text),
)
"""What is read of DBOS's own table."""
