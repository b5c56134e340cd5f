"""WebSocket at the wire, against /signal: what a client of another make and an ill-behaved one see.

    signaling_wire.py ADDRESS PORT CASE

A case is a function of this file. It ends quietly if its promise holds, else by an exception.
"""

import json
import os
import socket
import ssl
import struct
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

HOST, PORT = sys.argv[1], int(sys.argv[2])
URI = f"ws://{HOST}:{PORT}/signal"
MASK = b"\x01\x02\x03\x04"


class Raw:
    """A connection whose frames are written byte by byte."""

    def __init__(self, head=""):
        self.socket = socket.create_connection((HOST, PORT), timeout=20)
        self.data = b""
        self.status, self.headers = self.request(
            f"GET /signal HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{head}\r\n"
        )

    def request(self, text):
        self.socket.sendall(text.encode())
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), {line.split(":")[0].lower(): line for line in lines[1:]}

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.data += data

    def frame(self, opcode, payload=b"", fin=True, mask=True, reserved=0):
        """Also one that the library would not write."""
        length = len(payload)
        masked = 0x80 if mask else 0
        head = bytes([0x80 * fin | reserved << 4 | opcode])
        if length < 126:
            head += bytes([masked | length])
        elif length < 1 << 16:
            head += bytes([masked | 126]) + length.to_bytes(2, "big")
        else:
            head += bytes([masked | 127]) + length.to_bytes(8, "big")
        if mask:
            head += MASK
            payload = bytes(octet ^ MASK[at % 4] for at, octet in enumerate(payload))
        self.socket.sendall(head + payload)

    def text(self, message):
        self.frame(1, json.dumps(message).encode())

    def next(self):
        """The next frame of the server: its opcode and payload. None of them is masked or in parts."""
        while len(self.data) < 2:
            self.more()
        first, length = self.data[0], self.data[1]
        assert first & 0x70 == 0 and first & 0x80 and length < 128, (first, length)
        start = 2 + {126: 2, 127: 8}.get(length, 0)
        while len(self.data) < start:
            self.more()
        if length > 125:
            length = int.from_bytes(self.data[2:start], "big")
        while len(self.data) < start + length:
            self.more()
        payload, self.data = self.data[start : start + length], self.data[start + length :]
        return first & 0xF, payload

    def message(self):
        while True:
            opcode, payload = self.next()
            if opcode == 1:
                return json.loads(payload)
            assert opcode == 9, opcode
            self.frame(10, payload)

    def join(self, room):
        self.text({"type": "join", "room": room, "name": "raw"})
        joined = self.message()
        assert joined["type"] == "joined", joined
        return self

    def ends_with(self, code, error=None):
        """Whether the close frame that comes has this code, and an error before it is this one."""
        told = None
        while True:
            opcode, payload = self.next()
            if opcode == 8:
                break
            if opcode == 1 and json.loads(payload)["type"] == "error":
                told = json.loads(payload)["code"]
        assert struct.unpack("!H", payload[:2])[0] == code, (payload, told)
        assert told == error, told
        payload[2:].decode()
        try:
            # The closing handshake is done by both, and the server ends the connection first.
            self.frame(8, payload[:2])
            while True:
                self.more()
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass


def member(room, name="member", **options):
    """A client of the library, and what it was told when it joined."""
    client = connect(URI, legacy=True, **options)
    client.send(json.dumps({"type": "join", "room": room, "name": name}))
    return client, hear(client, "joined")


def hear(client, kind):
    """The next message, of this type."""
    told = json.loads(client.recv(timeout=20))
    assert told["type"] == kind, told
    return told


def say(client, **message):
    client.send(json.dumps(message))


def a_call_is_set_up_by_a_client_of_another_make():
    alice, joined = member("call", "Alice", subprotocols=["other", "hairpin.signal.1"])
    assert alice.subprotocol == "hairpin.signal.1"
    assert joined["iceServers"][0]["urls"], joined
    bob, told = member("call", "Bob")
    assert bob.subprotocol is None
    assert told["members"][0]["name"] == "Alice"
    assert hear(alice, "member")["member"]["polite"] is False
    say(alice, type="signal", to="m2", data={"description": {"sdp": "v=0\r\n" + "a" * 60000}})
    assert len(hear(bob, "signal")["data"]["description"]["sdp"]) == 60005
    say(bob, type="text", text="Grüße \u0001 👋")
    assert hear(alice, "text")["text"] == "Grüße \u0001 👋"
    alice.ping("with a payload").wait(20)
    say(bob, type="leave")
    try:
        bob.recv(timeout=20)
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 1000, closed
    assert hear(alice, "left")["cause"] == "left"
    alice.close(1000)
    assert alice.close_code == 1000


def compression_is_offered_in_vain():
    client, _ = member("packed", compression="deflate")
    assert client.protocol.extensions == [], client.protocol.extensions
    raw = Raw("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n").join("packed")
    assert "sec-websocket-extensions" not in raw.headers
    raw.frame(1, b"\xaa\x56\x4a\xca\x01\x00", reserved=4)
    raw.ends_with(1002)


def fragments_are_put_together_and_pings_pass_between_them():
    raw = Raw().join("parts")
    text = json.dumps({"type": "signal", "to": "m9", "data": "ä"}, ensure_ascii=False).encode()
    cut = text.index("ä".encode()) + 1
    raw.frame(1, text[:1], fin=False)
    raw.frame(9, b"between")
    raw.frame(0, b"", fin=False)
    raw.frame(0, text[1:cut], fin=False)
    raw.frame(10, b"nobody asked")
    raw.frame(0, text[cut:])
    heard = [raw.next(), raw.next()]
    assert (10, b"between") in heard, heard
    assert any(opcode == 1 and b"no-such-member" in payload for opcode, payload in heard), heard


def text_that_is_not_utf_8_is_refused():
    for parts in ([b"\xff"], [b"\xc3"], [b"\xed\xa0\x80"], [b"{\xc3", b"\x28}"], [b"\xf4\x90\x80\x80"]):
        raw = Raw().join("utf")
        for number, part in enumerate(parts):
            raw.frame(1 if number == 0 else 0, part, fin=number + 1 == len(parts))
        raw.ends_with(1007)


def frames_that_the_protocol_forbids_end_the_connection():
    def bits(reserved):
        return lambda raw: raw.frame(1, b"{}", reserved=reserved)

    def written(octets):
        return lambda raw: raw.socket.sendall(octets)

    def second_text(raw):
        raw.frame(1, b"{", fin=False)
        raw.frame(1, b"}")

    cases = {
        "reserved bit 1": bits(4),
        "reserved bit 2": bits(2),
        "reserved bit 3": bits(1),
        "reserved opcode 3": written(b"\x83\x80\x01\x02\x03\x04"),
        "reserved opcode 11": written(b"\x8b\x80\x01\x02\x03\x04"),
        "not masked": lambda raw: raw.frame(1, b"{}", mask=False),
        "continuation of nothing": lambda raw: raw.frame(0, b"{}"),
        "text within fragments": second_text,
        "a ping in fragments": written(b"\x09\x80\x01\x02\x03\x04"),
        "a long ping": written(b"\x89\xfe\x00\x7e\x01\x02\x03\x04" + b"x" * 126),
        "a close frame of one byte": written(b"\x88\x81\x00\x00\x00\x00\x03"),
        "a close code that is reserved": lambda raw: raw.frame(8, struct.pack("!H", 1005)),
    }
    for what, act in cases.items():
        raw = Raw().join("rules")
        act(raw)
        try:
            raw.ends_with(1002)
        except AssertionError as error:
            raise AssertionError(what) from error
    raw = Raw().join("rules")
    raw.frame(2, b"{}")
    raw.ends_with(1003)


def a_message_above_the_limit_is_refused_before_it_is_there():
    announced = Raw().join("long")
    announced.socket.sendall(b"\x81\xff" + (1 << 62).to_bytes(8, "big") + b"\x01\x02\x03\x04")
    announced.ends_with(1009, "too-large")
    # In fragments, none of which is too long.
    raw = Raw().join("long")
    raw.frame(1, b" " * 60000, fin=False)
    raw.frame(0, b" " * 60000)
    raw.ends_with(1009, "too-large")
    # All of a megabyte, by a client that does not look.
    client, _ = member("long", max_size=None)
    try:
        say(client, type="text", text="x" * 1_000_000)
        while True:
            client.recv(timeout=20)
    except ConnectionClosed as closed:
        assert closed.rcvd is None or closed.rcvd.code == 1009, closed
    # The greatest that is allowed.
    whole = {"type": "signal", "to": "m9", "data": ""}
    whole["data"] = "x" * (65536 - len(json.dumps(whole)))
    raw = Raw().join("long")
    raw.text(whole)
    while True:
        told = raw.message()
        if told["type"] == "error":
            assert told["code"] == "no-such-member", told
            break


def who_closes_is_answered():
    for code, reason in ((1000, b""), (1001, b"going away"), (4999, b"x" * 123)):
        raw = Raw().join("close")
        raw.frame(8, struct.pack("!H", code) + reason)
        assert raw.next() == (8, struct.pack("!H", code) + reason)
    raw = Raw().join("close")
    raw.frame(8)
    opcode, payload = raw.next()
    assert opcode == 8, opcode
    # Bytes behind a close frame are not read.
    watch, _ = member("after")
    raw = Raw().join("after")
    hear(watch, "member")
    raw.frame(8, struct.pack("!H", 1000))
    raw.text({"type": "text", "text": "too late"})
    assert hear(watch, "away")["id"] == "m2"


def pages_of_other_hosts_are_refused():
    for origin in (f"http://{HOST}:{PORT}", f"https://{HOST}:{PORT}", "https://app.example.org"):
        member("origins", origin=origin)
    for origin in ("https://evil.example", f"http://{HOST}", "null", f"http://{HOST}:{PORT}.evil.example"):
        try:
            connect(URI, legacy=True, origin=origin)
        except InvalidStatus as refused:
            assert refused.response.status_code == 403, refused
        else:
            raise AssertionError(origin)


def requests_that_are_no_websocket_are_answered():
    def answer(head):
        connection = socket.create_connection((HOST, PORT), timeout=20)
        connection.sendall(f"{head}\r\nHost: {HOST}\r\n\r\n".encode())
        return int(connection.recv(65536).split()[1])

    upgrade = "\r\nConnection: Upgrade\r\nUpgrade: websocket"
    for head in (
        "GET /signal HTTP/1.1",
        f"GET /signal HTTP/1.1{upgrade}",
        f"GET /signal HTTP/1.1{upgrade}\r\nSec-WebSocket-Version: 13",
        f"GET /signal HTTP/1.1{upgrade}\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        f"POST /signal HTTP/1.1\r\nContent-Length: 0{upgrade}",
    ):
        status = answer(head)
        assert 400 <= status < 500, (head, status)


def a_member_that_comes_back_misses_nothing():
    alice, joined = member("back", "Alice")
    bob, _ = member("back", "Bob")
    hear(alice, "member")
    for number in range(3):
        say(bob, type="signal", to="m1", data=number)
    seen = [hear(alice, "signal")["seq"] for _ in range(2)][-1]
    # The network takes the connection away: no frame says so.
    alice.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    alice.socket.close()
    assert hear(bob, "away")["id"] == "m1"
    say(bob, type="signal", to="m1", data=3)
    again = connect(URI, legacy=True)
    say(again, type="resume", session=joined["session"], ack=seen)
    assert hear(again, "resumed")["received"] == 0
    assert [hear(again, "signal")["data"] for _ in range(2)] == [2, 3]
    assert hear(bob, "back")["id"] == "m1"
    # A second connection takes the place of the first, although that one lives.
    third = connect(URI, legacy=True)
    say(third, type="resume", session=joined["session"], ack=6)
    hear(third, "resumed")
    try:
        again.recv(timeout=20)
        raise AssertionError("two connections of one session")
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 4001, closed
    say(third, type="signal", to="m2", data="here")
    assert hear(bob, "signal")["data"] == "here"


def a_client_that_falls_silent_is_away_within_ten_seconds():
    # A machine that stands still for a second spoils one try; a server that is slow spoils all.
    took = []
    while not took or took[-1] >= 10:
        room = f"silent-{len(took)}"
        watch, _ = member(room)
        raw = Raw().join(room)
        hear(watch, "member")
        # Half a frame, and nothing more: its pings are not answered either.
        raw.socket.sendall(b"\x81\xfe\x10\x00\x01\x02\x03\x04half")
        begin = time.monotonic()
        assert hear(watch, "away")["id"] == "m2"
        took.append(time.monotonic() - begin)
        assert took[-1] < 10 or len(took) < 3, took


def who_sends_too_fast_is_slowed_down_and_loses_nothing():
    alice, _ = member("fast")
    bob, _ = member("fast")
    hear(alice, "member")
    begin = time.monotonic()
    for number in range(400):
        say(alice, type="signal", to="m2", data=number)
    for number in range(400):
        assert hear(bob, "signal")["data"] == number
        say(bob, type="ack", ack=number + 2)
    took = time.monotonic() - begin
    assert took > 1.5, took


def who_reads_nothing_delays_nobody():
    deaf = Raw()
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.join("deaf")
    loud, _ = member("deaf")
    # Nothing is read from here on; what the kernels take is not bounded by the server.
    refused = 0
    for number in range(40):
        say(loud, type="signal", to="m1", data="x" * 15000, ack=1)
    alice, _ = member("other")
    bob, _ = member("other")
    hear(alice, "member")
    slowest = 0
    for number in range(100):
        begin = time.monotonic()
        say(alice, type="signal", to="m2", data=number)
        assert hear(bob, "signal")["data"] == number
        slowest = max(slowest, time.monotonic() - begin)
    print(f"slowest of 100 signals beside a deaf member: {slowest * 1000:.1f} ms")
    while refused == 0:
        told = json.loads(loud.recv(timeout=20))
        refused += told.get("code") == "not-delivered"


def a_member_over_tls():
    trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    sock = socket.create_connection((HOST, PORT), timeout=20)
    name = sys.argv[4]
    client = connect(f"wss://{name}:{PORT}/signal", legacy=True, sock=sock, ssl=trusted, origin=f"https://{name}:{PORT}")
    client.send(json.dumps({"type": "join", "room": "blue-fox", "name": "secure"}))
    hear(client, "joined")
    assert hear(client, "signal")["data"] == "hello"


globals()[sys.argv[3]]()
