"""Receives usage events, and tells what has come: one line of JSON for each request.

Arguments: port, secret, how requests are answered at first, and for TLS the files of a certificate and its key. Each
line of standard input is how they are answered from then on: a status, "hang" for no answer at all, or "flood" for 200
and a body without an end."""

import http.server
import json
import ssl
import sys
import threading
import time

from standardwebhooks import Webhook

port, secret, habit = int(sys.argv[1]), sys.argv[2], sys.argv[3]
telling = threading.Lock()


def tell(line):
    """One thread at a time: the words of two lines would mix."""
    with telling:
        print(line, flush=True)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        # It raises what ends the connection, and no line is told.
        batch = Webhook(secret).verify(body, dict(self.headers.items()))
        answered = habit
        line = {
            "path": self.path,
            "id": self.headers["webhook-id"],
            "habit": answered,
            "events": batch["data"]["events"],
        }
        tell("post " + json.dumps(line))
        if answered == "hang":
            time.sleep(600)
        elif answered == "flood":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        else:
            self.send_response(int(answered))
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
if sys.argv[4:]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*sys.argv[4:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
tell("receiving")
for line in sys.stdin:
    habit = line.strip()
    tell("habit " + habit)
time.sleep(600)
