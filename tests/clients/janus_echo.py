"""Calls the echo test of a Janus with an offer of audio, and prints the description that it answers."""

import json
import sys
import time
import urllib.request

JANUS = sys.argv[1]
OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "",
    ]
)


def ask(path, message=None):
    if message is not None:
        message = json.dumps({**message, "transaction": "t"}).encode()
    with urllib.request.urlopen(f"{JANUS}{path}", message, timeout=20) as answer:
        return json.load(answer)


session = ask("", {"janus": "create"})["data"]["id"]
handle = ask(f"/{session}", {"janus": "attach", "plugin": "janus.plugin.echotest"})["data"]["id"]
call = {"janus": "message", "body": {"audio": True}, "jsep": {"type": "offer", "sdp": OFFER}}
ask(f"/{session}/{handle}", call)
end = time.monotonic() + 20
while time.monotonic() < end:
    event = ask(f"/{session}?maxev=1")
    if "jsep" in event:
        print(event["jsep"]["sdp"])
        sys.exit()
sys.exit("no answer")
