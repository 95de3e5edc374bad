#!/usr/bin/python3
"""dns_clients: WHERE_RESOLVERS WHERE_CLIENTS NAME RATE LOG RESOLVER=SHARE... : clients that go by DNS

Each connection is one client's: it asks its resolver for the name, connects to port 80 of the first
address of the answer, and takes the arm's name that is served there. A line of LOG for each: time,
address, arm; "-" for what failed. The two WHEREs are network namespaces. SIGTERM ends it.

Clients of the resolvers come one resolver after the other, a second apart, so that no two caches
hold the answer for the same time.
"""
import ctypes
import random
import signal
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    with open(path, "rb") as f:
        if libc.setns(f.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), path)


def question(name, number):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def first_address(wire, asked):
    count = struct.unpack(">H", wire[6:8])[0]
    at = len(asked)
    for _ in range(count):  # names are compressed in the answers of these resolvers
        kind, _, _, size = struct.unpack(">2HIH", wire[at + 2:at + 12])
        if kind == 1:
            return socket.inet_ntoa(wire[at + 12:at + 16])
        at += 12 + size
    raise OSError("no address")


def lookup(s, name):
    number = random.randrange(65536)
    asked = question(name, number)
    s.send(asked)
    while True:
        wire = s.recv(4096)
        if struct.unpack(">H", wire[:2])[0] == number:
            return first_address(wire, asked)


def visit(address):
    with socket.create_connection((address, 80), timeout=3) as c:
        c.sendall(b"GET / HTTP/1.0\r\n\r\n")
        text = b""
        while more := c.recv(4096):
            text += more
    return text.split(b"\r\n\r\n", 1)[1].decode().strip()


def main():
    there, here, name, rate, log = sys.argv[1:6]
    people = [x.split("=") for x in sys.argv[6:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    enter(there)
    sockets = []
    for address, _ in people:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(3)
        s.connect((address, 53))
        sockets.append(s)
    enter(here)
    began = next_at = time.time()
    with open(log, "w", buffering=1, encoding="ascii") as out:
        while True:
            known = min(len(people), 1 + int(time.time() - began))
            i = random.choices(range(known), [float(share) for _, share in people[:known]])[0]
            address = arm = "-"
            try:
                address = lookup(sockets[i], name)
                arm = visit(address)
            except OSError:
                pass
            out.write(f"{time.time():.3f} {address} {arm}\n")
            next_at = max(next_at + random.expovariate(float(rate)), time.time() - 1)
            time.sleep(max(0, next_at - time.time()))


main()
