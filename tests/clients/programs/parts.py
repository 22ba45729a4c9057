"""The parts of a run: sends one, says so, waits until it is told to go on. What is restarted
meanwhile is the test's business."""

import json
import os
import sys

URL = os.environ["RUNELOG_URL"]
with open(os.environ["RECORDS"], encoding="utf-8") as file:
    RECORDS = json.load(file)
LINES = RECORDS["lines"]


def timestamp_ns(n):
    """Timestamp of line `n`."""
    return (int(os.environ["START_MS"]) + n) * 1_000_000


def send_parts(send):
    """`send(n)` for every line; between parts it says `sent` and waits for `go`."""
    for first, end in RECORDS["parts"]:
        if not sys.stdin.readline():
            sys.exit(2)
        for n in range(first, end):
            send(n)
        print("sent", flush=True)


def finish(lost):
    """The end: which lines were not acknowledged."""
    print("lost", json.dumps(lost), flush=True)
