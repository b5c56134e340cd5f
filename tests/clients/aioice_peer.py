"""A peer of aioice alone, by the contract of README.md, without a data channel: the other peer is libnice or one of these.

The description is what libnice makes: of SDP the lines that are of ICE.
"""

import asyncio
import re
from collections.abc import Iterator

import aioice
from contract import INTERVAL, Reports, arguments, report, stdin


def attributes(sdp: str, name: str) -> Iterator[str]:
    prefix = f"a={name}:"
    return (line.removeprefix(prefix) for line in sdp.splitlines() if line.startswith(prefix))


def agent() -> aioice.Connection:
    scheme, host, port, transport = re.fullmatch(r"(turns?):(.+):(\d+)\?transport=(.+)", options.uri).groups()
    return aioice.Connection(
        ice_controlling=options.role == "offer",
        turn_server=(host, int(port)),
        turn_username=options.username,
        turn_password=options.password,
        turn_transport=transport,
        turn_ssl=scheme == "turns",
        transport_policy=aioice.TransportPolicy.RELAY,
    )


async def describe(agent: aioice.Connection) -> None:
    await agent.gather_candidates()
    lines = ["m=application 0 ICE/SDP", "c=IN IP4 0.0.0.0"]
    lines += [f"a=ice-ufrag:{agent.local_username}", f"a=ice-pwd:{agent.local_password}"]
    lines += [f"a=candidate:{candidate.to_sdp()}" for candidate in agent.local_candidates]
    report(description={"type": options.role, "sdp": "\n".join(lines) + "\n"})


async def learn(agent: aioice.Connection, sdp: str) -> None:
    (agent.remote_username,) = attributes(sdp, "ice-ufrag")
    (agent.remote_password,) = attributes(sdp, "ice-pwd")
    for candidate in attributes(sdp, "candidate"):
        await agent.add_remote_candidate(aioice.Candidate.from_sdp(candidate))
    await agent.add_remote_candidate(None)


async def converse(agent: aioice.Connection, reports: Reports) -> None:
    async def speak() -> None:
        number = 0
        while True:
            await agent.send(str(number).encode())
            number += 1
            await asyncio.sleep(INTERVAL)

    async def hear() -> None:
        while True:
            await agent.recv()
            reports.received += 1

    try:
        await agent.connect()
        reports.connected()
        await asyncio.gather(speak(), hear())
    except ConnectionError as error:
        report(closed=str(error))


async def call() -> None:
    end = agent()
    with Reports() as reports:
        if options.role == "offer":
            await describe(end)
        async for line in stdin():
            await learn(end, line["description"]["sdp"])
            if options.role == "answer":
                await describe(end)
            conversation = asyncio.ensure_future(converse(end, reports))
        conversation.cancel()
    await asyncio.wait_for(end.close(), 10)


options = arguments()
asyncio.run(call())
