#!/usr/bin/env python3
"""Keeps an allocation, and prints what its client hears: "relayed PORT" at first, then what a Refresh is answered by,
again and again: 200, the code of the error, silence, or closed, after which it ends. SIGTERM gives the allocation back.

Arguments: udp or tcp, the server's address and port, user, password."""

import hashlib
import hmac
import os
import signal
import socket
import struct
import sys
import time

COOKIE = 0x2112A442
# What is asked once is answered in time on a busy machine, too. In seconds.
PATIENCE = 20
ALLOCATE, REFRESH = 3, 4
USERNAME, INTEGRITY, ERROR, LIFETIME = 0x6, 0x8, 0x9, 0xD
REALM, NONCE, RELAYED, TRANSPORT = 0x14, 0x15, 0x16, 0x19


class Closed(Exception):
    """The server has closed the connection."""


class Caller:
    def __init__(self, transport, host, port, user, password):
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, int(port)))
        self.user, self.password, self.challenge = user, password, None

    def ask(self, method, *attributes):
        """The code of the answer, 200 for a success, and its attributes. A challenge is answered, a new nonce is taken."""
        for _ in range(3):
            code, answer = self.once(method, attributes)
            if code not in (401, 438) or NONCE not in answer:
                break
            self.challenge = answer[REALM], answer[NONCE]
        return code, answer

    def once(self, method, attributes):
        transaction = os.urandom(12)
        body = b"".join(attribute(*it) for it in attributes)
        if self.challenge:
            realm, nonce = self.challenge
            body += attribute(USERNAME, self.user.encode()) + attribute(REALM, realm) + attribute(NONCE, nonce)
            key = hashlib.md5(b":".join((self.user.encode(), realm, self.password.encode()))).digest()
            signed = header(method, len(body) + 24, transaction) + body
            body += attribute(INTEGRITY, hmac.new(key, signed, "sha1").digest())
        try:
            self.socket.sendall(header(method, len(body), transaction) + body)
            answer = self.socket.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return "silence", {}
        except (BrokenPipeError, ConnectionResetError) as reset:
            raise Closed from reset
        if not answer:
            raise Closed
        found = {}
        at = 20
        while at < len(answer):
            name, length = struct.unpack_from("!HH", answer, at)
            found[name] = answer[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4
        error = found.get(ERROR)
        return (error[2] * 100 + error[3] if error else 200), found


def header(method, length, transaction):
    return struct.pack("!HHI", method, length, COOKIE) + transaction


def attribute(name, value):
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def main():
    caller = Caller(*sys.argv[1:])
    code, answer = caller.ask(ALLOCATE, (TRANSPORT, bytes([17, 0, 0, 0])))
    if code != 200:
        sys.exit(f"refused {code}")
    print("relayed", struct.unpack_from("!H", answer[RELAYED], 2)[0] ^ COOKIE >> 16, flush=True)
    hangs_up = []
    signal.signal(signal.SIGTERM, lambda *_: hangs_up.append(True))
    caller.socket.settimeout(1)
    try:
        while not hangs_up:
            time.sleep(0.2)
            print(caller.ask(REFRESH)[0], flush=True)
        caller.socket.settimeout(PATIENCE)
        print("hung up", caller.ask(REFRESH, (LIFETIME, bytes(4)))[0], flush=True)
    except Closed:
        print("closed", flush=True)


main()
