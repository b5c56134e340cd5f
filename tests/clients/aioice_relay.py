"""Two ICE agents that may meet only on relayed addresses. Each hears all that the other says.

Usage: aioice_relay.py SERVER PORT USER PASSWORD {udp,tcp,tls}
"""

import asyncio
import sys

import aioice

MESSAGES = 100


def agent(controlling: bool) -> aioice.Connection:
    _, server, port, user, password, transport = sys.argv
    return aioice.Connection(
        ice_controlling=controlling,
        turn_server=(server, int(port)),
        turn_username=user,
        turn_password=password,
        turn_transport="tcp" if transport == "tls" else transport,
        turn_ssl=transport == "tls",
        transport_policy=aioice.TransportPolicy.RELAY,
    )


async def introduce(agent: aioice.Connection, stranger: aioice.Connection) -> None:
    for candidate in stranger.local_candidates:
        assert candidate.type == "relay", candidate
        await agent.add_remote_candidate(candidate)
    await agent.add_remote_candidate(None)
    agent.remote_username = stranger.local_username
    agent.remote_password = stranger.local_password


async def say(speaker: aioice.Connection, listener: aioice.Connection) -> None:
    for number in range(MESSAGES):
        # Lengths that need padding on a stream, and some that do not.
        message = bytes([number]) * (number * 11 + 1)
        await speaker.send(message)
        heard = await listener.recv()
        assert heard == message, f"{len(heard)} bytes for {len(message)}"


async def call() -> None:
    agents = left, right = agent(True), agent(False)
    await asyncio.gather(*(agent.gather_candidates() for agent in agents))
    assert all(agent.local_candidates for agent in agents), "no relayed address"
    await introduce(left, right)
    await introduce(right, left)
    await asyncio.gather(*(agent.connect() for agent in agents))
    await asyncio.gather(say(left, right), say(right, left))
    await asyncio.gather(*(agent.close() for agent in agents))


asyncio.run(asyncio.wait_for(call(), 20))
print(f"{MESSAGES} messages each way")
