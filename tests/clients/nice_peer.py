"""A peer of libnice, by the contract of README.md, without a data channel: the messages are the component's own.

Debian keeps libnice for its own Python, so this imports nothing that pip brings.
"""

import ctypes
import json
import os
import re
import sys

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice

from contract import INTERVAL, arguments, report

COMPONENT = 1
# TLS of libnice is TURN in the clear, to the port of TLS.
RELAYS = {
    ("turn", "udp"): Nice.RelayType.UDP,
    ("turn", "tcp"): Nice.RelayType.TCP,
    ("turns", "tcp"): Nice.RelayType.TLS,
}


class Peer:
    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.unread = b""
        self.is_connected = False
        self.agent = agent = Nice.Agent.new(loop.get_context(), Nice.Compatibility.RFC5245)
        agent.set_property("controlling-mode", options.role == "offer")
        agent.set_property("force-relay", True)
        agent.set_property("upnp", False)
        agent.connect("candidate-gathering-done", self.gathered)
        agent.connect("component-state-changed", self.changed)
        self.stream = agent.add_stream(1)
        agent.set_stream_name(self.stream, "application")
        *kind, host, port = re.sub(r"(turns?):(.+):(\d+)\?transport=(.+)", r"\1 \4 \2 \3", options.uri).split()
        server = (host, int(port), options.username, options.password, RELAYS[tuple(kind)])
        agent.set_relay_info(self.stream, COMPONENT, *server)
        # Introspection leaves this one out. The hash of a GObject is its address; a null context is the main one.
        libnice.nice_agent_attach_recv(hash(agent), self.stream, COMPONENT, None, on_heard, None)

    def gather(self) -> None:
        if not self.agent.gather_candidates(self.stream):
            raise RuntimeError("no candidates")

    def gathered(self, _agent: Nice.Agent, _stream: int) -> None:
        sdp = self.agent.generate_local_sdp()
        report(description={"type": options.role, "sdp": sdp})

    def changed(self, _agent: Nice.Agent, _stream: int, _component: int, state: int) -> None:
        if state == Nice.ComponentState.READY and not self.is_connected:
            self.is_connected = True
            report(connected=True)
            GLib.timeout_add(int(INTERVAL * 1000), self.speak)
            GLib.timeout_add(1000, self.count)
        elif state == Nice.ComponentState.FAILED:
            report(closed="the component failed")

    def speak(self) -> bool:
        number = str(self.sent)
        self.agent.send(self.stream, COMPONENT, len(number), number)
        self.sent += 1
        return True

    def count(self) -> bool:
        report(received=self.received)
        return True

    def told(self, descriptor: int, _condition: GLib.IOCondition) -> bool:
        """Reads the lines that the harness writes, until it hangs up."""
        new = os.read(descriptor, 1 << 16)
        *lines, self.unread = (self.unread + new).split(b"\n")
        for line in lines:
            # Components start to connect with this, once both ends are known.
            if self.agent.parse_remote_sdp(json.loads(line)["description"]["sdp"]) <= 0:
                raise RuntimeError("no candidates of the other peer")
            if options.role == "answer":
                self.gather()
        if not new:
            loop.quit()
        return bool(new)


def end(*failure: object) -> None:
    """GLib goes on after an exception, which would look like silence."""
    sys.__excepthook__(*failure)
    os._exit(1)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, *3 * [ctypes.c_uint], *2 * [ctypes.c_void_p])
def on_heard(*_: object) -> None:
    peer.received += 1


libnice = ctypes.CDLL("libnice.so.10")
libnice.nice_agent_attach_recv.argtypes = [
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_void_p,
    type(on_heard),
    ctypes.c_void_p,
]
options = arguments()
sys.excepthook = end
loop = GLib.MainLoop()
peer = Peer()
conditions = GLib.IO_IN | GLib.IO_HUP
GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, sys.stdin.fileno(), conditions, peer.told)
if options.role == "offer":
    peer.gather()
loop.run()
