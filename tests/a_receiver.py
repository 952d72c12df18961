"""Somebody who is alerted: an HTTP server on this machine that keeps what it is told, and may refuse to listen."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """`heard` are the texts that arrived, `raw` all that came along with them."""

    def __init__(self, port):
        self.url, self.heard, self.raw, self.deaf = f"json://127.0.0.1:{port}", [], [], False

    @property
    def lines(self):
        return [line for text in self.heard for line in text.splitlines()]


@contextmanager
def a_receiver():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if not receiver.deaf:
                receiver.raw.append(f"{self.path} {self.headers} {body}")
                receiver.heard.append(json.loads(body)["message"])
            self.send_response(503 if receiver.deaf else 200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
