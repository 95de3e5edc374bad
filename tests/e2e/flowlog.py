#!/usr/bin/python3
"""flowlog.py: a flow log beside what the wire and the clients saw

  flowlog.py check LOG --clients TRAFFIC_LOG... --old PCAP --backend PCAP...

LOG is FILE, with its rotated files. Prints a line for each kind of thing that is wrong, and a summary.
The captures are of what came in: at the old host with all that it got, at the backends with SYNs.
"""
import argparse
import calendar
import collections
import glob
import ipaddress
import json
import re
import socket
import struct
import sys
import time


def read_log(path):
    """The lines of FILE.N … FILE.1, FILE, the oldest first."""
    names = sorted(glob.glob(path + ".*"), key=lambda n: -int(n.rsplit(".", 1)[1]))
    flows, lost = [], 0
    for name in names + [path]:
        with open(name, encoding="ascii") as f:
            for line in f:
                e = json.loads(line)
                if "lost" in e:
                    lost += e["lost"]
                else:
                    flows.append(e)
    return flows, lost


def at(text):
    """Seconds of the epoch of a time such as 2026-03-01T14:30:12.118Z."""
    m = re.fullmatch(r"(.*)\.(\d{3})Z", text)
    return calendar.timegm(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S")) + int(m[2]) / 1000


def packets(path):
    """(time, source, port, destination, port, IP length, flags, sequence) of each TCP packet."""
    with open(path, "rb") as f:
        data = f.read()
    at_, = 24,
    while at_ + 16 <= len(data):
        sec, usec, n, _ = struct.unpack_from("<IIII", data, at_)
        p = data[at_ + 16:at_ + 16 + n]
        at_ += 16 + n
        kind, = struct.unpack_from(">H", p, 12)
        if kind == 0x800:
            l4 = 14 + (p[14] & 15) * 4
            size, = struct.unpack_from(">H", p, 16)
            proto, src, dst = p[23], socket.inet_ntop(socket.AF_INET, p[26:30]), socket.inet_ntop(socket.AF_INET, p[30:34])
        elif kind == 0x86DD:
            l4, size, proto = 54, struct.unpack_from(">H", p, 18)[0] + 40, p[20]
            src, dst = socket.inet_ntop(socket.AF_INET6, p[22:38]), socket.inet_ntop(socket.AF_INET6, p[38:54])
        else:
            continue
        if proto != 6:
            continue
        sport, dport, seq = struct.unpack_from(">HHI", p, l4)
        yield sec + usec / 1e6, src, sport, dst, dport, size, p[l4 + 13], seq


def split(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Wrong:
    def __init__(self):
        self.n = collections.Counter()

    def __call__(self, what, detail):
        self.n[what] += 1
        if self.n[what] <= 3:
            print(f"wrong: {what}: {detail}")


def check(a):
    wrong = Wrong()
    flows, lost = read_log(a.log)
    ids = collections.Counter(e["flow"] for e in flows)
    for flow, n in ids.items():
        if n > 1:
            wrong("twice", flow)
    by_client = {}
    for e in flows:
        by_client.setdefault((e["client"], e["client_port"]), []).append(e)

    sizes, first, last, syn = collections.Counter(), {}, {}, {}
    for when, src, sport, dst, dport, size, flags, seq in packets(a.old):
        tuple_ = (src, sport, dst, dport)
        sizes[tuple_] += size
        first.setdefault(tuple_, when)
        last[tuple_] = when
        if flags & 0x12 == 0x02:
            syn[seq] = (src, sport)
    seen = {}
    for path in a.backend:
        for _, src, sport, dst, dport, _, _, seq in packets(path):
            seen[syn.get(seq)] = (src, sport, dst, dport)

    asked = 0
    for path in a.clients:
        for line in open(path, encoding="ascii"):
            start, took, event, _, source, port, _ = line.rstrip("\n").split("\t")
            asked += 1
            key = (str(ipaddress.ip_address(source)), int(port))
            found = [e for e in by_client.get(key, []) if abs(at(e["start"]) - int(start) / 1e6) < 2]
            if len(found) != 1:
                wrong("of a connection there are other than one line", f"{len(found)}: {line!r}")
                continue
            e = found[0]
            to, back = split(e["listen"]), split(e["backend_address"])
            up = (*key, *to)
            nat = (e["nat"], e["nat_port"], *back)
            down = (*back, e["nat"], e["nat_port"])
            if seen.get(key) != nat:
                wrong("NAT", f"{e}: the backend saw {seen.get(key)}")
            if e["bytes_up"] != sizes[up] or e["bytes_down"] != sizes[down]:
                wrong("bytes", f"{e}: {sizes[up]} up, {sizes[down]} down")
            if abs(at(e["start"]) - first[up]) > 0.05:
                wrong("start", f"{e}: {first[up]}")
            end = max(last[up], last.get(down, 0))
            if not -0.2 < at(e["end"]) - end < 0.2:
                wrong("end", f"{e}: {end}")
    print(f"{sum(wrong.n.values())} wrong, {asked} connections, {len(flows)} lines, {lost} lost")
    return 1 if wrong.n else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("verb", choices=["check", "count"])
    p.add_argument("log")
    p.add_argument("--clients", nargs="*", default=[])
    p.add_argument("--old")
    p.add_argument("--backend", nargs="*", default=[])
    a = p.parse_args()
    if a.verb == "check":
        return check(a)
    flows, lost = read_log(a.log)
    twice = len(flows) - len({e["flow"] for e in flows})
    print(f"{len(flows) + lost} flows, {twice} twice")
    return 0


sys.exit(main())
