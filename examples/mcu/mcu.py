#!/usr/bin/python3
"""A small MCU (multipoint control unit): all members of a room are sent one picture and one sound, in which everybody is.

     member ══ TURN ══╗                                            ┌─ compositor ─ vp8enc ──┐
     member ══ TURN ══╬══ hairpin ── UDP ── a webrtcbin for each ──┤                        ├── back to all
     member ══ TURN ══╝       \\___ signaling ___/                  └─ audiomixer ─ opusenc ─┘

It is a member of the room itself, named "mcu" unless --name says otherwise. The others make one connection, with it, and
none with each other: examples/room.html is a page that does so. A member that sends nothing is a viewer.

Its media ports need to be open to the relay only. The configuration of the relay is that of the SFU,
examples/sfu/turnserver.toml. On Debian it needs these packages, and with the addresses replaced it is started so:

    apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice \\
        python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gir1.2-soup-3.0
    HAIRPIN_ROOM_SECRET='all who may enter know this' \\
        ./mcu.py --signal ws://198.51.100.1:8080/signal --room lounge --media 198.51.100.12

What is left out: a sound for each member without its own voice (here everybody also hears itself), bandwidth
estimation, and coming back when the signaling is lost: the program then ends, and systemd or the like starts it again.
"""

import argparse
import json
import math
import os
import sys

import gi

for name, version in [("Gst", "1.0"), ("GstSdp", "1.0"), ("GstWebRTC", "1.0"), ("Soup", "3.0")]:
    gi.require_version(name, version)
from gi.repository import GLib, Gst, GstSdp, GstWebRTC, Soup

WIDTH, HEIGHT, FRAMES = 640, 360, 20

# The mixers run from the start, each with a source of nothing, so that there is something to send to the first member.
# The encoders make one stream for everybody. A whole picture is made when one member asks for it; the request comes up
# through the tee.
MIXERS = f"""
    compositor name=picture background=black latency=100000000 !
        video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FRAMES}/1 !
        vp8enc deadline=1 cpu-used=8 target-bitrate=600000 keyframe-max-dist=600 error-resilient=default !
        rtpvp8pay pt=96 picture-id-mode=15-bit ! tee name=pictures allow-not-linked=true
    videotestsrc is-live=true pattern=black ! video/x-raw,width={WIDTH},height={HEIGHT},framerate={FRAMES}/1 ! picture.
    audiomixer name=sound latency=100000000 ! audio/x-raw,rate=48000,channels=2 ! audioconvert !
        opusenc ! rtpopuspay pt=111 ! tee name=sounds allow-not-linked=true
    audiotestsrc is-live=true wave=silence ! audio/x-raw,rate=48000,channels=2 ! sound.
"""

# The elements that a member's streams pass before they are mixed.
DECODERS = {
    "video": "queue ! rtpvp8depay ! vp8dec ! videoconvert ! videoscale ! queue",
    "audio": "queue ! rtpopusdepay ! opusdec ! audioconvert ! audioresample ! queue",
}

# The streams that each member is sent, and the tee of each.
SENT = [
    ("pictures", "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"),
    ("sounds", "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2"),
]


class Mixer:
    """The picture and the sound of all, and a connection for each member."""

    def __init__(self) -> None:
        self.pipeline = Gst.parse_launch(MIXERS)
        self.members: dict[str, Member] = {}
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)
        self.pipeline.set_state(Gst.State.PLAYING)

    def failed(self, _bus: Gst.Bus, message: Gst.Message) -> None:
        error, details = message.parse_error()
        print(f"{message.src.get_name()}: {error.message} ({details})", flush=True)

    def arrange(self) -> None:
        """Gives each picture its place: so many beside each other as are above each other, or one more."""
        members = list(self.members.values())
        shown = [member.picture for member in members if member.picture]
        columns = math.ceil(math.sqrt(len(shown))) or 1
        rows = math.ceil(len(shown) / columns)
        for place, pad in enumerate(shown):
            row, column = divmod(place, columns)
            width, height = WIDTH // columns, HEIGHT // rows
            for key, value in [("xpos", column * width), ("ypos", row * height), ("width", width), ("height", height)]:
                pad.set_property(key, value)


class Member:
    """A member of the room: its connection, and the decoders of what it sends, in a bin that comes and goes with it."""

    def __init__(self, mixer: Mixer, id: str) -> None:
        self.mixer, self.id = mixer, id
        self.picture: Gst.Pad | None = None
        self.invited = False
        self.sends: set[str] = set()
        # Links to what stays when the member goes: the pads of the mixers and tees, each with the one of the bin.
        self.inputs: list[Gst.Pad] = []
        self.outputs: list[Gst.Pad] = []
        self.bin = Gst.Bin.new(id)
        self.connection = Gst.ElementFactory.make("webrtcbin")
        self.connection.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.connection.set_property("latency", 100)
        self.connection.connect("on-negotiation-needed", self.has_something_to_send)
        self.connection.connect("on-ice-candidate", self.found_candidate)
        self.connection.connect("pad-added", self.receives)
        self.bin.add(self.connection)
        mixer.pipeline.add(self.bin)
        ways = [(mixer.pipeline.get_by_name(tee), self.way_out(Gst.Caps.from_string(caps))) for tee, caps in SENT]
        # A tee that meets a pad which does not run yet stops, and with it all that everybody is sent.
        self.bin.sync_state_with_parent()
        for tee, way in ways:
            out = tee.request_pad_simple("src_%u")
            out.link(way)
            self.outputs.append(out)

    def has_something_to_send(self, _connection: Gst.Element) -> None:
        """The one offer; nothing that comes later changes what the member is sent."""
        if not self.invited:
            self.invited = True
            self.connection.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def way_out(self, caps: Gst.Caps) -> Gst.Pad:
        """Where the bin takes packets of this kind for the member."""
        queue = Gst.ElementFactory.make("queue")
        # A member that takes nothing must not hold up the others.
        queue.set_property("leaky", 2)
        self.bin.add(queue)
        sink = self.connection.request_pad(self.connection.get_pad_template("sink_%u"), None, caps)
        queue.get_static_pad("src").link(sink)
        way = Gst.GhostPad.new(None, queue.get_static_pad("sink"))
        self.bin.add_pad(way)
        return way

    def offered(self, promise: Gst.Promise) -> None:
        # The offer is a part of the reply, and goes with it.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.connection.emit("set-local-description", offer, None)
        room.tell(self.id, {"description": {"type": "offer", "sdp": offer.sdp.as_text()}})

    def found_candidate(self, _connection: Gst.Element, line: int, candidate: str) -> None:
        # Of this host's addresses only the one that the relay reaches is of use to anybody.
        if " UDP " in candidate and f" {options.media} " in candidate:
            room.tell(self.id, {"candidate": {"candidate": candidate, "sdpMLineIndex": line}})

    def hear(self, data: dict) -> None:
        """Takes an answer or a candidate."""
        description, candidate = data.get("description"), data.get("candidate")
        if description and description.get("type") == "answer":
            result, sdp = GstSdp.SDPMessage.new_from_text(description["sdp"])
            if result == GstSdp.SDPResult.OK:
                answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
                self.connection.emit("set-remote-description", answer, None)
        # Browsers hide their own addresses behind names that nobody else can look up.
        if candidate and candidate.get("candidate") and ".local " not in candidate["candidate"]:
            self.connection.emit("add-ice-candidate", candidate["sdpMLineIndex"], candidate["candidate"])

    def receives(self, _connection: Gst.Element, pad: Gst.Pad) -> None:
        """Mixes in a stream that the member sends, one of each kind."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        if kind in self.sends:
            return
        self.sends.add(kind)
        print(f"{self.id} sends {kind}", flush=True)
        decoder = Gst.parse_bin_from_description(DECODERS[kind], True)
        self.bin.add(decoder)
        decoder.sync_state_with_parent()
        out = Gst.GhostPad.new(None, decoder.get_static_pad("src"))
        out.set_active(True)
        self.bin.add_pad(out)
        mixer = self.mixer.pipeline.get_by_name("picture" if kind == "video" else "sound")
        into = mixer.request_pad_simple("sink_%u")
        self.inputs.append(into)
        if kind == "video":
            self.picture = into
            self.mixer.arrange()
        out.link(into)
        pad.link(decoder.get_static_pad("sink"))

    def leave(self) -> None:
        for tee_pad in self.outputs:
            tee_pad.unlink(tee_pad.get_peer())
            tee_pad.get_parent_element().release_request_pad(tee_pad)
        self.bin.set_state(Gst.State.NULL)
        for mixer_pad in self.inputs:
            mixer_pad.get_parent_element().release_request_pad(mixer_pad)
        self.mixer.pipeline.remove(self.bin)


class Room:
    """The room at the signaling server: docs/signaling.md."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer
        self.received = 0
        self.session = Soup.Session()
        request = Soup.Message.new("GET", options.signal)
        if request is None:
            sys.exit(f"--signal is no address: {options.signal}")
        self.session.websocket_connect_async(request, None, ["hairpin.signal.1"], GLib.PRIORITY_DEFAULT, None, self.opened)

    def opened(self, session: Soup.Session, result: object) -> None:
        try:
            self.socket = session.websocket_connect_finish(result)
        except GLib.Error as error:
            sys.exit(f"no signaling at {options.signal}: {error.message}")
        self.socket.connect("message", self.heard)
        self.socket.connect("closed", lambda _: sys.exit("the signaling server has closed the connection"))
        join = {"type": "join", "room": options.room, "name": options.name}
        self.say(join | ({"secret": options.secret} if options.secret else {}))

    def say(self, message: dict) -> None:
        acknowledged = {"ack": self.received} if self.received else {}
        self.socket.send_text(json.dumps(message | acknowledged))

    def tell(self, to: str, data: dict) -> None:
        """Sends something to a member. This is called by any thread of GStreamer, and sent by the main one."""
        GLib.idle_add(lambda: self.say({"type": "signal", "to": to, "data": data}))

    def heard(self, _socket: Soup.WebsocketConnection, _type: int, text: GLib.Bytes) -> None:
        message = json.loads(text.get_data())
        self.received = message.get("seq", self.received)
        # The server keeps what is not acknowledged, and cuts off members that never do.
        if self.received % 16 == 0:
            self.say({"type": "ack"})
        members = self.mixer.members
        match message["type"]:
            case "joined":
                print(f"in room {options.room}, media at {options.media}", flush=True)
                for member in message["members"]:
                    self.add(member["id"])
            case "member":
                self.add(message["member"]["id"])
            case "left" if member := members.pop(message["id"], None):
                print(f"{member.id} has left", flush=True)
                member.leave()
                self.mixer.arrange()
            case "signal" if member := members.get(message["from"]):
                member.hear(message["data"])
            case "error":
                print(f"the signaling server says: {message}", flush=True)

    def add(self, id: str) -> None:
        print(f"{id} has come", flush=True)
        self.mixer.members[id] = Member(self.mixer, id)


parser = argparse.ArgumentParser(description="An MCU for one room, behind Hairpin's signaling and relay")
parser.add_argument("--signal", required=True, help="the WebSocket of the signaling, such as ws://198.51.100.1:8080/signal")
parser.add_argument("--room", required=True)
parser.add_argument("--secret", default=os.environ.get("HAIRPIN_ROOM_SECRET"), help="the secret of the room, where the server wants one")
parser.add_argument("--name", default="mcu", help="the name by which the others know that this is their MCU")
parser.add_argument("--media", required=True, help="the address for all media; what [peers] allow names")
options = parser.parse_args()
Gst.init(None)
room = Room(Mixer())
try:
    GLib.MainLoop().run()
except KeyboardInterrupt:
    pass
