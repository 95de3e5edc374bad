#!/usr/bin/env python3
"""hostile.py ADDRESS PORT CERTS: endpoints that no client should trust, one per path; TLS on the ports
behind PORT: PORT+1 self-signed, +2 of another name, +3 expired, +4 right.
hostile.py --names ADDRESS FILE: a name server that answers what the lines "NAME ADDRESS" of a file say at
that moment, with a TTL of 0, and of other names nothing at all.

Ends with the process that started it. Every connection has a thread; what is endless ends with the client."""
import gzip
import socket
import ssl
import struct
import sys
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body, more=b""):
    return HEAD + more + b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)


ANSWERS = {
    "good": whole(b'{"v": 5}'),
    "deep": whole(b'{"v":' + b"[" * 20000 + b"]" * 20000 + b"}"),
    "malformed": whole(b'{"v": 5'),
    "nan": whole(b'{"v": NaN}'),
    "infinite": whole(b'{"v": 1e400}'),
    "string": whole(b'{"v": "12; rm -rf /"}'),
    "negative": whole(b'{"v": -1}'),
    "twice": whole(b'{"v": 99, "v": 5}'),
    "escapes": whole(b'\x1b[2J\x1b]0;owned\x07{"v": \xff\xfe}'),
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "gzip": whole(gzip.compress(b'{"v": 5}' + b" " * 50_000_000), b"Content-Encoding: gzip\r\n"),
    "lengths": HEAD + b'Content-Length: 8\r\nContent-Length: 4\r\n\r\n{"v": 5}',
    "smuggle": HEAD + b'Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{"v": 5}',
    "chunk": HEAD + b'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{"v": 5}',
    "short": HEAD + b'Content-Length: 4000\r\n\r\n{"v": 5}',
    "old": b'{"v": 5}',
    "status": b'HTTP/1.1 2000000000 OK\r\nContent-Length: 8\r\n\r\n{"v": 5}',
    "hangup": b"",
}


def for_ever(send, piece, pause=0.0):
    while True:
        send(piece)
        time.sleep(pause)


def endless(path, send):
    if path == "huge":
        send(HEAD + b"Content-Length: 1099511627776\r\n\r\n")
        for_ever(send, b" " * 65536)
    elif path == "endless":
        send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for_ever(send, b"10000\r\n" + b" " * 65536 + b"\r\n")
    elif path == "drip":
        for byte in whole(b'{"v": 5}'):
            send(bytes([byte]))
            time.sleep(1)
    elif path == "headers":
        send(HEAD)
        for_ever(send, b"X-More: " + b"x" * 1000 + b"\r\n")
    elif path == "hundred":
        for_ever(send, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    elif path == "silent":
        time.sleep(3600)
    else:
        return False
    return True


def serve(connection, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        request = b""
        while b"\r\n\r\n" not in request:
            more = connection.recv(4096)
            if not more:
                return
            request += more
        path = request.split()[1].decode().strip("/").split("?")[0]
        if not endless(path, connection.sendall):
            connection.sendall(ANSWERS[path])
    except (OSError, KeyError, IndexError, ValueError):
        pass
    finally:
        connection.close()


def listen(address, port, context=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = socket.create_server((address, port), family=family, backlog=256)

    def accept():
        while True:
            connection = server.accept()[0]
            print("CONNECTION", flush=True)
            threading.Thread(target=serve, args=(connection, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def names(address, path):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    print("READY", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode().lower())
            end += 1 + query[end]
        with open(path, encoding="ascii") as lines:
            known = dict(line.split() for line in lines)
        ip = known.get(".".join(labels))
        if not ip:
            continue
        wanted = struct.unpack(">H", query[end + 1:end + 3])[0] == 1
        reply = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", wanted) + b"\0\0\0\0" + query[12:end + 5]
        if wanted:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(ip)
        server.sendto(reply, client)


def main():
    if sys.argv[1] == "--names":
        names(*sys.argv[2:])
    address, port, certs = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    listen(address, port)
    for i, name in enumerate(["self", "other", "expired", "right"] if certs else [], 1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certs}/{name}.pem", f"{certs}/{name}.key")
        listen(address, port + i, context)
    print("READY", flush=True)
    threading.Event().wait()


main()
