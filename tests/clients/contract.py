"""What the peers in Python share of the contract of README.md."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator

INTERVAL = 0.2
"""Seconds between two messages."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", required=True, choices=["offer", "answer"])
    for name in ["--uri", "--username", "--password"]:
        parser.add_argument(name, required=True)
    return parser.parse_args()


def report(**what: object) -> None:
    # One write each: the errors of libraries go to the same file.
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Reports:
    """Counts what the other peer says, and reports it once a second. Needs a running event loop."""

    def __init__(self) -> None:
        self.received = 0
        self._counting: asyncio.Task | None = None

    def __enter__(self) -> "Reports":
        return self

    def __exit__(self, *_: object) -> None:
        if self._counting:
            self._counting.cancel()

    def connected(self) -> None:
        report(connected=True)
        self._counting = asyncio.ensure_future(self._count())

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(1)
            report(received=self.received)


async def stdin() -> AsyncIterator[dict]:
    """The lines that the harness writes, until it hangs up."""
    reader = asyncio.StreamReader(limit=1 << 20)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)
