#!/usr/bin/env python3
"""receiver.py ADDRESS CERTIFICATE KEY LOG: where notices go, over HTTPS.

Each request becomes a line "path body" of LOG. /hang is never answered, /broken with 500; an
incident of Statuspage's API is given the id "inc1"; all else is 202.
"""
import http.server
import ssl
import sys
import threading
import time

address, certificate, key, path_of_log = sys.argv[1:]
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        with lock, open(path_of_log, "a", encoding="utf-8") as log:
            log.write(f"{self.path} {body}\n")
        if self.path == "/hang":
            time.sleep(600)
        text = b"[]" if self.path.endswith("/unresolved") else b'{"id": "inc1"}'
        self.send_response(500 if self.path == "/broken" else 202)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = answer


server = http.server.ThreadingHTTPServer((address, 443), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
