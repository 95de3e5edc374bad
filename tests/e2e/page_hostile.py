#!/usr/bin/python3
"""page_hostile: CASE PORT [ARGUMENT...]; exit 0 when the dashboard's server bears it, else says why."""
import socket
import sys
import threading
import time

PORT = int(sys.argv[2])
HOST = f"Host: 127.0.0.1:{PORT}\r\n"
TOKEN = "Authorization: Bearer correct-horse-battery-staple\r\n"
JSON = "Content-Type: application/json\r\n"


def dial(rcvbuf=None):
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(20)
    s.connect(("127.0.0.1", PORT))
    return s


def everything(s):
    data = b""
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def status_of(request):
    """All that comes until the server closes; requests that it keeps alive must say close."""
    s = dial()
    s.sendall(request if isinstance(request, bytes) else request.encode())
    s.settimeout(3)
    try:
        return int(everything(s).split(b" ", 2)[1])
    except TimeoutError:
        return 0


def quick(within=0.5):
    began = time.monotonic()
    s = dial()
    s.sendall(f"GET /api/status HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
    answer = everything(s)
    took = time.monotonic() - began
    assert answer.startswith(b"HTTP/1.1 200"), answer[:80]
    assert took < within, f"{took:.3f} s"


def case_refused():
    close = "Connection: close\r\n"
    get = f"GET / HTTP/1.1\r\n{HOST}"
    post = f"POST /api/ramp/pause HTTP/1.1\r\n{HOST}{close}"
    table = [
        ("plain", get + close + "\r\n", 200),
        ("localhost with a tunnel's port", f"GET / HTTP/1.1\r\nHost: localhost:8080\r\n{close}\r\n", 200),
        ("a configured name", f"GET / HTTP/1.1\r\nHost: wall.example\r\n{close}\r\n", 200),
        ("a rebound name", f"GET / HTTP/1.1\r\nHost: evil.example:{PORT}\r\n{close}\r\n", 403),
        ("a name that begins like ours", f"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n{close}\r\n", 403),
        ("another address", f"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n{close}\r\n", 403),
        ("a Host with a user", f"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n{close}\r\n", 403),
        ("no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("two Hosts", get + "Host: evil.example\r\n\r\n", 400),
        ("no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", 403),
        ("HEAD", f"HEAD / HTTP/1.1\r\n{HOST}{close}\r\n", 200),
        ("nothing there", f"GET /etc/passwd HTTP/1.1\r\n{HOST}{close}\r\n", 404),
        ("dots", f"GET /../../etc/passwd HTTP/1.1\r\n{HOST}{close}\r\n", 404),
        ("an escaped path", f"GET /api/%73tatus HTTP/1.1\r\n{HOST}{close}\r\n", 404),
        ("an absolute target", f"GET http://127.0.0.1/ HTTP/1.1\r\n{HOST}{close}\r\n", 400),
        ("DELETE", f"DELETE / HTTP/1.1\r\n{HOST}{close}\r\n", 405),
        ("OPTIONS of a command", f"OPTIONS /api/ramp/pause HTTP/1.1\r\n{HOST}{close}\r\n", 405),
        ("GET of a command", f"GET /api/ramp/pause HTTP/1.1\r\n{HOST}{close}\r\n", 405),
        ("POST to the page", f"POST / HTTP/1.1\r\n{HOST}{close}Content-Length: 0\r\n\r\n", 405),
        ("HTTP/2.0", f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("bare line feeds", f"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", 400),
        ("a folded line", get + "X: a\r\n b\r\n\r\n", 400),
        ("space before the colon", get + "X : a\r\n\r\n", 400),
        ("a zero in a value", get + "X: a\0b\r\n\r\n", 400),
        ("two lengths", post + TOKEN + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        ("a negative length", post + TOKEN + "Content-Length: -1\r\n\r\n", 400),
        ("a length beyond numbers", post + TOKEN + "Content-Length: 99999999999999999999999\r\n\r\n", 413),
        ("a transfer coding", post + TOKEN + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        ("a huge line", f"GET /{'a' * 5000} HTTP/1.1\r\n{HOST}\r\n", 414),
        ("a huge field", get + f"X: {'a' * 20000}\r\n\r\n", 431),
        ("many fields", get + "X: a\r\n" * 100 + "\r\n", 431),
        ("a huge body", post + TOKEN + JSON + "Content-Length: 20000\r\n\r\n", 413),
        ("an expectation", get + "Expect: the-unexpected\r\n\r\n", 417),
        ("a command", post + TOKEN + JSON + "Content-Length: 2\r\n\r\n{}", 200),
        ("… from the page", post + TOKEN + JSON + f"Origin: http://127.0.0.1:{PORT}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 2\r\n\r\n{{}}", 200),
        ("… from another page", post + TOKEN + JSON + "Origin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}", 403),
        ("… from another port", post + TOKEN + JSON + "Origin: http://127.0.0.1:1\r\nContent-Length: 2\r\n\r\n{}", 403),
        ("… from a sandbox", post + TOKEN + JSON + "Origin: null\r\nContent-Length: 2\r\n\r\n{}", 403),
        ("… from another site", post + TOKEN + JSON + "Sec-Fetch-Site: cross-site\r\nContent-Length: 2\r\n\r\n{}", 403),
        ("… without the token", post + JSON + "Content-Length: 2\r\n\r\n{}", 401),
        ("… with a wrong one", post + TOKEN.replace("staple", "stapel") + JSON + "Content-Length: 2\r\n\r\n{}", 401),
        ("… with the beginning of it", post + "Authorization: Bearer correct-horse\r\n" + JSON + "Content-Length: 2\r\n\r\n{}", 401),
        ("… with an empty one", post + "Authorization: Bearer \r\n" + JSON + "Content-Length: 2\r\n\r\n{}", 401),
        ("… as a form", post + TOKEN + "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415),
        ("… without a length", post + TOKEN + JSON + "\r\n", 411),
        ("… that is no object", post + TOKEN + JSON + "Content-Length: 2\r\n\r\n[]", 400),
        ("… that is no JSON", post + TOKEN + JSON + "Content-Length: 2\r\n\r\n{x", 400),
        ("… that there is not", f"POST /api/reboot HTTP/1.1\r\n{HOST}{close}{TOKEN}Content-Length: 0\r\n\r\n", 404),
    ]
    wrong = []
    for what, request, want in table:
        got = status_of(request)
        if got != want:
            wrong.append(f"{what}: {got}, should be {want}")
    print(len(table), "requests")
    assert not wrong, "; ".join(wrong)
    quick()


def case_pipelined():
    s = dial()
    one = f"GET /api/status HTTP/1.1\r\n{HOST}\r\n"
    s.sendall((one * 20 + f"GET /nothing HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").encode())
    data = everything(s)
    heads = [line for line in data.split(b"\r\n") if b"HTTP/1.1 " in line]
    assert len(heads) == 21 and heads[-1].endswith(b"404 Not Found"), heads
    # byte by byte
    s = dial()
    for c in f"GET /api/status HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode():
        s.sendall(bytes([c]))
    assert everything(s).startswith(b"HTTP/1.1 200")


def case_slow_senders():
    crowd = []
    for i in range(200):
        s = dial()
        s.sendall(b"GET / HTTP/1.1\r\nHo" if i % 2 else
                  f"POST /api/ramp/pause HTTP/1.1\r\n{HOST}Content-Length: 100\r\n\r\n".encode())
        crowd.append(s)
        if i % 20 == 0:
            quick()
    for s in crowd[-40:]:
        s.settimeout(0)
    began = time.monotonic()
    while time.monotonic() - began < 7:
        for s in crowd[-40:]:
            try:
                s.send(b"s")
            except OSError:
                pass
        quick()
        time.sleep(0.25)
    # none of them held its place by a byte now and then
    left = 0
    for s in crowd[-40:]:
        try:
            s.setblocking(True)
            s.settimeout(0.2)
            if everything(s) == b"":
                continue
        except TimeoutError:
            left += 1
        except OSError:
            pass
    assert not left, f"{left} of 40 are still connected"


def case_slow_readers():
    crowd = []
    for _ in range(60):
        s = dial(rcvbuf=2048)
        s.settimeout(0)
        try:
            s.send((f"GET / HTTP/1.1\r\n{HOST}\r\n" * 60).encode())
        except OSError:
            pass
        crowd.append(s)
    for _ in range(8):
        quick()
        time.sleep(0.1)


def case_streams():
    streams = []
    for _ in range(16):
        s = dial()
        s.sendall(f"GET /api/events HTTP/1.1\r\n{HOST}\r\n".encode())
        assert s.recv(12) == b"HTTP/1.1 200"
        streams.append(s)
    assert status_of(f"GET /api/events HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n") == 503
    quick()
    for s in streams:
        s.close()
    time.sleep(1.5)
    s = dial()
    s.sendall(f"GET /api/events HTTP/1.1\r\n{HOST}\r\n".encode())
    assert s.recv(12) == b"HTTP/1.1 200", "the places are free again"


def case_stream_beside_deaf_one():
    """One that reads nothing does not keep its events from another."""
    s = dial(rcvbuf=2048)
    s.sendall(f"GET /api/events HTTP/1.1\r\n{HOST}\r\n".encode())
    r = dial()
    r.sendall(f"GET /api/events HTTP/1.1\r\n{HOST}\r\n".encode())
    data, end = b"", time.monotonic() + 4.2
    r.settimeout(1.5)
    while time.monotonic() < end:
        data += r.recv(65536)
    assert 4 <= data.count(b"event: page") <= 7, data.count(b"event: page")


def case_resumed():
    def first(extra):
        s = dial()
        s.sendall(f"GET /api/events HTTP/1.1\r\n{HOST}{extra}\r\n".encode())
        data = b""
        while data.count(b"event: page") < 1:
            data += s.recv(65536)
        text = data.split(b"\r\n\r\n", 1)[1].decode()
        kind = next(x[7:] for x in text.split("\n") if x.startswith("event: "))
        ident = next(x[4:] for x in text.split("\n") if x.startswith("id: "))
        points = next(x[6:] for x in text.split("\n") if x.startswith("data: "))
        return kind, ident, points.count('"weight"')
    kind, ident, n = first("")
    assert kind == "history" and n >= 1700, (kind, n)
    time.sleep(2.1)
    kind, _, n = first(f"Last-Event-ID: {ident}\r\n")
    assert kind == "more" and 1 <= n <= 4, (kind, n)
    for alien in "00000000-5", ident.split("-")[0] + "-99999999", "x" * 3000, "-", ident + "x":
        kind, _, n = first(f"Last-Event-ID: {alien}\r\n")
        assert kind == "history" and n >= 1700, (alien[:20], kind, n)


def case_noise():
    """Bytes of any kind, from many at once."""
    import random
    rng = random.Random(7)

    def one(seed):
        r = random.Random(seed)
        for _ in range(20):
            try:
                s = dial()
                s.settimeout(0.2)
                s.sendall(bytes(r.randrange(256) for _ in range(r.randrange(1, 3000))))
                s.recv(4096)
                s.close()
            except OSError:
                pass
    crowd = [threading.Thread(target=one, args=(rng.random(),)) for _ in range(8)]
    for t in crowd:
        t.start()
    for t in crowd:
        t.join()
    quick()


globals()["case_" + sys.argv[1]]()
