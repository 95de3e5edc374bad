"""answers.py - a service and clients for 76-answers: how long an answer takes, and how it fails to come

  answers.py serve ARM PORT DELAY FATE ADDRESS...      ready on stdout once it listens
      FATE: "answer", or every so manieth connection fails: "close/N", "reset/N"
  answers.py ask COUNT ADDRESS PORT SOURCE...           prints how many of each arm answered, as JSON
  answers.py talk ADDRESS PORT SECONDS                  UDP: answers the first datagram for so long
  answers.py listen SOURCE ADDRESS PORT SECONDS         UDP: one datagram, then silence, then one more;
                                                        prints who answered the last one
"""
import collections
import json
import os
import selectors
import socket
import struct
import sys
import threading
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listener(address, port, kind=socket.SOCK_STREAM):
    s = socket.socket(family(address), kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, int(port)))
    if kind == socket.SOCK_STREAM:
        s.listen(1024)
    return s


def handle(c, arm, delay, fate, turn):
    with c:
        if not c.recv(64):
            return
        how, _, nth = fate.partition("/")
        if nth and turn % int(nth) == 0:
            if how == "reset":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        time.sleep(delay)
        c.sendall(arm.encode())


def serve(arm, port, delay, fate, *addresses):
    listeners = selectors.DefaultSelector()
    for a in addresses:
        listeners.register(listener(a, port), selectors.EVENT_READ)
    print("ready", flush=True)
    turn = 0
    while True:
        for key, _ in listeners.select():
            c, _ = key.fileobj.accept()
            turn += 1
            threading.Thread(target=handle, args=(c, arm, float(delay), fate, turn), daemon=True).start()


def one(address, port, source, seen, lock):
    s = socket.socket(family(address))
    s.settimeout(float(os.environ.get("PATIENCE", "10")))
    try:
        with s:
            s.bind((source, 0))
            s.connect((address, int(port)))
            s.sendall(b"?")
            arm = s.recv(64).decode() or "nobody"
    except OSError as e:
        arm = type(e).__name__
    with lock:
        seen[arm] += 1


def ask(count, address, port, *sources):
    seen, lock, under_way = collections.Counter(), threading.Lock(), []
    for i in range(int(count)):
        t = threading.Thread(target=one, args=(address, port, sources[i % len(sources)], seen, lock))
        t.start()
        under_way.append(t)
        if len(under_way) >= 40:
            under_way.pop(0).join()
    for t in under_way:
        t.join()
    print(json.dumps(seen))


def talk(arm, address, port, seconds):
    s = listener(address, port, socket.SOCK_DGRAM)
    print("ready", flush=True)
    _, peer = s.recvfrom(2048)
    s.sendto(("again " + arm).encode(), peer)
    end = time.monotonic() + float(seconds)
    s.settimeout(0.25)
    while True:
        if time.monotonic() < end:
            s.sendto(arm.encode(), peer)
        try:
            _, peer = s.recvfrom(2048)
            s.sendto(("again " + arm).encode(), peer)
        except TimeoutError:
            pass


def listen(source, address, port, seconds):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.connect((address, int(port)))
    s.send(b"?")
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        s.settimeout(end - time.monotonic() + 0.01)
        try:
            s.recv(2048)
        except (TimeoutError, ConnectionError):
            pass
    s.send(b"?")
    s.settimeout(3)
    while True:
        heard = s.recv(2048).decode()
        if heard.startswith("again "):
            print(heard[6:])
            return


verb = {"serve": serve, "ask": ask, "talk": talk, "listen": listen}
verb[sys.argv[1]](*sys.argv[2:])
