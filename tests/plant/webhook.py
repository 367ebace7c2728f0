"""A web server that stumbles before it takes messages, and checks their signatures with the reference library.

usage: webhook.py SECRET    prints its port, then a JSON line for every message that it took
"""

import http.server
import json
import sys
import time

from standardwebhooks import Webhook

webhook = Webhook(sys.argv[1])
# One after the other: an error, a time-out, too many, a redirect that is not followed, a refusal for good, gone in between.
stumbles = [500, "hang", 429, 302, 410, "drop"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = webhook.verify(body, dict(self.headers.items()))
        try:
            webhook.verify(body + b" ", dict(self.headers.items()))
            raise SystemExit("a changed body was taken for the right one")
        except Exception as error:
            assert "signature" in str(error).lower(), error
        stumble = stumbles.pop(0) if stumbles else None
        if stumble == "hang":
            time.sleep(2)
            return
        if stumble == "drop":
            self.connection.close()
            return
        self.send_response(stumble or 204)
        if stumble == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
        if stumble is None:
            message["id"] = self.headers["webhook-id"]
            assert self.path == "/hook" and self.headers["content-type"] == "application/json"
            print(json.dumps(message), flush=True)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
