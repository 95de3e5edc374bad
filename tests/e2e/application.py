#!/usr/bin/env python3
"""application.py DIR WINDOW NODE...: the service behind each node's nginx, and its statistics.

For each NODE it answers at the socket DIR/NODE.sock:
  /               the node's name; what DIR/NODE.fault says goes wrong with it
  /q/health       200, or 503 when the node is sick
  /api/v11/stats  of the node's side, old or new: tps, latency_p95 (ms), error_rate (%)
  /api/v11/network  the same of all nodes together

Nothing in the statistics is invented: they are of what nginx wrote into DIR/NODE.log
("$msec $request_time $status" for each request that a client got an answer to) in the last WINDOW
seconds. So whatever slows, fails or sheds requests moves them, and nothing else does.

DIR/NODE.fault holds words: delay=MS of each answer, fail=N (each N-th is answered 500), limit=N
(answers a second, what is more is shed with 503), sick (its health check fails).
"""
import asyncio
import collections
import json
import os
import signal
import sys
import time

directory, window = sys.argv[1], float(sys.argv[2])
OLD = "old"


class Node:
    def __init__(self, name):
        self.name = name
        self.path = os.path.join(directory, name)
        self.seen = collections.deque()  # (when, seconds, status)
        self.log = open(self.path + ".log", "rb")
        self.rest = b""
        self.stamp, self.fault, self.asked, self.room = None, {}, 0, 0.0
        self.filled = time.monotonic()

    def read_log(self):
        lines = (self.rest + self.log.read()).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            when, took, status = line.split()
            self.seen.append((float(when), float(took), int(status)))
        while self.seen and self.seen[0][0] < time.time() - window:
            self.seen.popleft()

    def read_fault(self):
        try:
            stamp = os.stat(self.path + ".fault").st_mtime_ns
        except OSError:
            stamp = None
        if stamp == self.stamp:
            return
        self.stamp, self.fault = stamp, {}
        if stamp:
            with open(self.path + ".fault", encoding="ascii") as f:
                for word in f.read().split():
                    key, _, number = word.partition("=")
                    self.fault[key] = float(number or 1)

    def has_room(self):
        limit, now = self.fault.get("limit"), time.monotonic()
        if not limit:
            return True
        self.room = min(limit / 10, self.room + (now - self.filled) * limit)
        self.filled = now
        if self.room < 1:
            return False
        self.room -= 1
        return True

    def status(self):
        self.asked += 1
        if not self.has_room():
            return 503
        every = self.fault.get("fail")
        return 500 if every and self.asked % every < 1 else 200


def stats(nodes):
    for node in nodes:
        node.read_log()
    took = sorted(entry[1] for node in nodes for entry in node.seen)
    bad = sum(entry[2] >= 500 for node in nodes for entry in node.seen)
    return {
        "tps": (len(took) - bad) / window,
        "latency_p95": 1000 * took[min(len(took) - 1, int(0.95 * len(took)))] if took else None,
        "error_rate": 100 * bad / len(took) if took else None,
        "requests": len(took),
    }


class Server(asyncio.Protocol):
    def __init__(self, node):
        self.node, self.head, self.link = node, b"", None

    def connection_made(self, transport):
        self.link = transport

    def data_received(self, data):
        self.head += data
        if b"\r\n\r\n" in self.head:
            self.answer(self.head.split(b" ", 2)[1].decode("ascii"))

    def answer(self, path):
        node = self.node
        node.read_fault()
        if path == "/":
            status = node.status()
            delay = node.fault.get("delay", 0) if status == 200 else 0
            text = node.name + "\n" if status == 200 else "no\n"
            asyncio.get_running_loop().call_later(delay / 1000, self.say, status, text)
        elif path == "/q/health":
            status = 503 if "sick" in node.fault else 200
            self.say(status, json.dumps({"status": "UP" if status == 200 else "DOWN"}))
        elif path == "/api/v11/stats":
            side = [n for n in everyone if (n.name == OLD) == (node.name == OLD)]
            self.say(200, json.dumps(stats(side)))
        else:
            self.say(200, json.dumps(stats(everyone)))

    def say(self, status, text):
        self.link.write(
            f"HTTP/1.0 {status} -\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode("ascii")
        )
        self.link.close()


everyone = [Node(name) for name in sys.argv[3:]]


async def main():
    loop = asyncio.get_running_loop()
    ending = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, ending.set_result, None)
    for node in everyone:
        await loop.create_unix_server(lambda n=node: Server(n), node.path + ".sock", backlog=4096)
    print("ready", flush=True)
    await ending


asyncio.run(main())
