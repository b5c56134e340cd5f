"""A peer of aiortc, by the contract of README.md: its TURN client is aioice's."""

import asyncio
import logging

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from contract import INTERVAL, Reports, arguments, report, stdin

RELAY_ONLY = RTCIceTransportPolicy.RELAY


async def speak(channel: RTCDataChannel) -> None:
    number = 0
    while channel.readyState == "open":
        channel.send(str(number))
        number += 1
        await asyncio.sleep(INTERVAL)


def open_call(connection: RTCPeerConnection, reports: Reports) -> None:
    """Reports what becomes of the call, and speaks when it stands."""
    speaking = []

    def use(channel: RTCDataChannel) -> None:
        @channel.on("message")
        def heard(_message: object) -> None:
            reports.received += 1

        @channel.on("close")
        def closed() -> None:
            report(closed="the data channel closed")

        def opened() -> None:
            reports.connected()
            speaking.append(asyncio.ensure_future(speak(channel)))

        channel.on("open", opened)
        if channel.readyState == "open":
            opened()

    @connection.on("connectionstatechange")
    def changed() -> None:
        if connection.connectionState in ("failed", "closed"):
            report(closed=f"the connection is {connection.connectionState}")

    if role == "offer":
        use(connection.createDataChannel("numbers"))
    else:
        connection.on("datachannel", use)


async def describe(connection: RTCPeerConnection, description: RTCSessionDescription) -> None:
    """Reports a description once all candidates are in it: setLocalDescription gathers them."""
    await connection.setLocalDescription(description)
    described = connection.localDescription
    report(description={"type": described.type, "sdp": described.sdp})


async def call() -> None:
    server = RTCIceServer(urls=options.uri, username=options.username, credential=options.password)
    configuration = RTCConfiguration(iceServers=[server], iceTransportPolicy=RELAY_ONLY)
    connection = RTCPeerConnection(configuration)
    with Reports() as reports:
        open_call(connection, reports)
        if role == "offer":
            await describe(connection, await connection.createOffer())
        async for line in stdin():
            await connection.setRemoteDescription(RTCSessionDescription(**line["description"]))
            if role == "answer":
                await describe(connection, await connection.createAnswer())
    await asyncio.wait_for(connection.close(), 10)


options = arguments()
role = options.role
logging.basicConfig(level=logging.WARNING)
asyncio.run(call())
