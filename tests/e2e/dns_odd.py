#!/usr/bin/env python3
"""DNS servers that behave oddly: each address a way of its own, for the end-to-end tests.

    dns_odd.py ADDRESS=MODE[,KEY=VALUE...]...

Answers on UDP and TCP port 53 for every question, A records of `say` (addresses joined by "+") with
TTL `ttl`. Forgers give `lie`, which the truth is not, before or instead of it.

    plain               what `say` says; authoritative with aa=1
    expired             the same as an expired answer: EDE 3, TTL 30
    refused servfail nxdomain referral    what their names say
    silent              nothing at all
    wrong-id wrong-question wrong-name wrong-type garbage short query no-question
                        the lie in a message that is not an answer to the question; then the truth,
                        after 50 ms, with then=1
    two-opts trailing loop nsec3 cut huge-ttl
                        an answer to the question that is no sound message (huge-ttl: but for the
                        TTL, which RFC 2181 8 makes 0)
    truncated           TC over UDP; over TCP what `say` says
    truncated-closed    TC over UDP; over TCP the connection is closed
    truncated-cut       TC over UDP; over TCP a message that ends early
    other-port          the lie from another port, then the truth
    other-address       the lie from `from`, then the truth
    flood               `count` lies, each wrong in one of these ways, IDs next to the right one
                        among them; then the truth
"""
import random
import selectors
import socket
import struct
import sys
import time

EVIL = "203.0.113.66"
WRONG = ("wrong-id", "wrong-question", "wrong-name", "wrong-type", "garbage", "short", "query", "no-question")


def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.rstrip(".").split(".") if p) + b"\0"


def record(owner, kind, ttl, data, klass=1):
    return owner + struct.pack("!HHIH", kind, klass, ttl, len(data)) + data


class Query:
    def __init__(self, wire):
        self.id, self.flags, questions = struct.unpack_from("!HHH", wire)
        end = 12
        while wire[end]:
            end += 1 + wire[end]
        end += 5
        self.question = wire[12:end]
        self.type = struct.unpack_from("!H", wire, end - 4)[0]
        self.edns = len(wire) > end and wire[end:end + 3] == b"\0\0\x29"


def opt(options=b""):
    return record(b"\0", 41, 0, options, 1232)


def message(q, addresses=(), ttl=6, rcode=0, flags=0, ident=None, question=None, answer=None, authority=(),
            extra=None, edns=b""):
    """A whole message; the defaults are an answer to q."""
    if answer is None:
        answer = [record(b"\xc0\x0c", 1, ttl, socket.inet_aton(a)) for a in addresses] if q.type == 1 else []
    if extra is None:
        extra = [opt(edns)] if q.edns else []
    question = q.question if question is None else question
    return struct.pack("!HHHHHH", q.id if ident is None else ident, 0x8000 | (q.flags & 0x0100) | flags | rcode,
                       1 if question else 0, len(answer), len(authority), len(extra)) + question \
        + b"".join(answer) + b"".join(authority) + b"".join(extra)


class Server:
    def __init__(self, address, text):
        self.address, words = address, text.split(",")
        self.mode = words[0]
        o = dict(w.split("=", 1) for w in words[1:])
        self.say = o.get("say", "").split("+") if o.get("say") else []
        self.lie = o.get("lie", EVIL).split("+")
        self.ttl = int(o.get("ttl", 6))
        self.aa = 0x0400 if o.get("aa") == "1" else 0
        self.ra = 0 if self.aa else 0x0080
        self.then = o.get("then") == "1"
        self.count = int(o.get("count", 100))
        self.other = o.get("from")
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, 53))
        self.tcp.listen(64)

    def truth(self, q, **more):
        return message(q, self.say, self.ttl, flags=more.pop("flags", 0) | self.aa | self.ra, **more)

    def lies(self, q, **more):
        return message(q, self.lie, 600, flags=more.pop("flags", 0) | self.aa | self.ra, **more)

    def wrong(self, q, m):
        if m == "wrong-id":
            return self.lies(q, ident=q.id ^ 0x5555)
        if m == "wrong-question":
            return self.lies(q, question=name("evil.test") + q.question[-4:])
        if m == "wrong-name":  # one letter
            return self.lies(q, question=bytes([q.question[0], q.question[1] ^ 1]) + q.question[2:])
        if m == "wrong-type":
            return self.lies(q, question=q.question[:-4] + struct.pack("!HH", 16, 1))
        if m == "garbage":
            return struct.pack("!H", q.id) + random.randbytes(60)
        if m == "short":
            return self.lies(q)[:11]
        if m == "query":  # QR is 0
            wire = bytearray(self.lies(q))
            wire[2] &= 0x7f
            return bytes(wire)
        return self.lies(q, question=b"")  # no-question

    def unsound(self, q):
        """Answers the question; must not be read as an answer all the same."""
        lie = record(b"\xc0\x0c", 1, 600, socket.inet_aton(self.lie[0]))
        m = self.mode
        if m == "two-opts":
            return self.lies(q, extra=[opt(), opt()])
        if m == "trailing":
            return self.lies(q) + b"\0\0\0\0"
        if m == "loop":  # a CNAME that ends where it began
            return self.lies(q, answer=[record(b"\xc0\x0c", 5, 600, b"\xc0\x0c"), lie])
        if m == "nsec3":  # an algorithm that nobody knows
            data = struct.pack("!BBHB", 77, 0, 1, 0) + b"\x14" + bytes(20) + b"\0\1\x40"
            return self.lies(q, authority=[record(b"\xc0\x0c", 50, 600, data)])
        if m == "huge-ttl":
            return message(q, self.say, 0x80000001, flags=self.aa | self.ra)
        return self.lies(q)[:-20 if q.edns else -6]  # cut

    def stream(self, q):
        """What goes over TCP: whole wire with its length, or None: close."""
        m = self.mode
        if m in ("silent", "truncated-closed"):
            return None
        if m == "truncated-cut":
            wire = self.lies(q)
            return struct.pack("!H", len(wire)) + wire[:-8]
        wire = self.one(q)
        return wire and struct.pack("!H", len(wire)) + wire

    def one(self, q):
        m = self.mode
        if m == "silent":
            return None
        if m in ("refused", "servfail", "nxdomain"):
            return message(q, rcode={"refused": 5, "servfail": 2, "nxdomain": 3}[m], flags=self.aa)
        if m == "referral":
            return message(q, authority=[record(b"\0", 2, 3600, name("a.servers.root"))])
        if m == "expired":
            return message(q, self.say, 30, flags=self.ra, edns=struct.pack("!HHH", 15, 2, 3) if q.edns else b"")
        if m in WRONG:
            return self.wrong(q, m)
        if m in ("two-opts", "trailing", "loop", "nsec3", "huge-ttl", "cut"):
            return self.unsound(q)
        return self.truth(q)

    def datagrams(self, q, peer):
        """(socket, bytes) in the order in which they go, and those that go 50 ms later."""
        m, u = self.mode, self.udp
        if m.startswith("truncated"):
            return [(u, self.lies(q, flags=0x0200, answer=[]))], []
        if m == "other-port":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((self.address, 0))
            return [(s, self.lies(q))], [(u, self.truth(q))]
        if m == "other-address":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((self.other, 0))
            return [(s, self.lies(q))], [(u, self.truth(q))]
        if m == "flood":
            lies = [self.lies(q, ident=(q.id + i + 1) & 0xffff) if i % 2 else self.wrong(q, WRONG[i // 2 % len(WRONG)])
                    for i in range(self.count)]
            return [(u, lie) for lie in lies], [(u, self.truth(q))]
        wire = self.one(q)
        later = [(u, self.truth(q))] if m in WRONG and self.then else []
        return ([(u, wire)] if wire else []), later


def main():
    servers = [Server(*a.split("=", 1)) for a in sys.argv[1:]]
    poll = selectors.DefaultSelector()
    late = []  # (when, socket, bytes, peer)
    for s in servers:
        poll.register(s.udp, selectors.EVENT_READ, ("udp", s))
        poll.register(s.tcp, selectors.EVENT_READ, ("tcp", s))
    while True:
        wait = max(0, min(x[0] for x in late) - time.monotonic()) if late else None
        for key, _ in poll.select(wait):
            kind, s = key.data
            if kind == "tcp":
                c, _ = s.tcp.accept()
                poll.register(c, selectors.EVENT_READ, ("stream", s))
                continue
            try:
                if kind == "udp":
                    wire, peer = s.udp.recvfrom(4096)
                    now, later = s.datagrams(Query(wire), peer)
                    for sock, answer in now:
                        sock.sendto(answer, peer)
                    late += [(time.monotonic() + 0.05, sock, answer, peer) for sock, answer in later]
                    continue
                wire = key.fileobj.recv(4096)
                answer = len(wire) > 14 and s.stream(Query(wire[2:]))
                if answer:
                    key.fileobj.sendall(answer)
                if answer and s.mode != "truncated-cut":
                    continue
            except (OSError, IndexError, struct.error):
                if kind == "udp":
                    continue
            poll.unregister(key.fileobj)
            key.fileobj.close()
        now = time.monotonic()
        for _, sock, answer, peer in [x for x in late if x[0] <= now]:
            sock.sendto(answer, peer)
        late = [x for x in late if x[0] > now]


main()
