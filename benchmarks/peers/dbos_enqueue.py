"""A peer: DBOS as it ships, queueing into a SQLite database of its own; nobody takes anything up.

Called with the database's path and its journal mode. Each line in, a JSON request, is queued; each line out is the time
that took, in milliseconds.
"""

import json
import os
import sqlite3
import sys
import time

from dbos import DBOS, DBOSClient
from sqlalchemy import event
from sqlalchemy.pool import Pool


@event.listens_for(Pool, "connect")
def define_unixepoch(connection: sqlite3.Connection, _: object) -> None:
    """Give every connection what DBOS 3.4 takes for granted: SQLite knows `unixepoch('subsec')` since 3.42."""
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, lambda _: time.time())


def main(answers: int, path: str, journal_mode: str) -> None:
    """Queue what each line of stdin holds, one at a time."""
    url = f"sqlite:///{path}"
    DBOS.migrate(url)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
    client = DBOSClient(system_database_url=url)
    for line in sys.stdin:
        request = json.loads(line)
        begun = time.perf_counter()
        client.enqueue({"workflow_name": "run", "queue_name": "runs"}, request)
        os.write(answers, b"%.6f\n" % ((time.perf_counter() - begun) * 1000))


if __name__ == "__main__":
    protocol = os.dup(1)
    os.dup2(2, 1)
    main(protocol, *sys.argv[1:])
