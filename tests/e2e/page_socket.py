#!/usr/bin/python3
"""page_socket: CASE PATH; exit 0 when the daemon's socket does what it should, else says why."""
import json
import os
import socket
import stat
import sys
import time

PATH = sys.argv[2]
READERS, WRITERS = 61001, 61002  # groups of the test, in no file


def dial():
    s = socket.socket(socket.AF_UNIX)
    s.connect(PATH)
    s.settimeout(20)
    return s


def line(s):
    data = b""
    while not data.endswith(b"\n"):
        more = s.recv(65536)
        if not more:
            return data
        data += more
    return data


def ask(request, s=None):
    s = s or dial()
    try:
        s.sendall((request if isinstance(request, str) else json.dumps(request)).encode() + b"\n")
    except BrokenPipeError:
        pass  # turned away, and told why
    return json.loads(line(s))


def as_user(uid, gid, groups, what):
    """What another user gets, in a process of its own."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            got = what()
        except OSError as e:
            got = {"errno": e.errno, "text": e.strerror}
        os.write(w, json.dumps(got).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        got = json.loads(f.read())
    os.waitpid(pid, 0)
    return got


def case_rights():
    status, pause = {"cmd": "status"}, {"cmd": "ramp pause"}
    table = [  # uid, gid, groups, reads, writes
        (0, 0, [], 0, 0),
        (60001, 60001, [], 1, 1),
        (60001, 60001, [READERS], 0, 1),
        (60001, READERS, [], 0, 1),
        (60001, 60001, [WRITERS], 0, 0),
        (60001, WRITERS, [], 0, 0),
        (60001, 60001, [5, READERS, 7, WRITERS], 0, 0),
        (60001, 60001, list(range(62000, 62600)), 1, 1),
        (60001, 0, [0], 1, 1),  # root's group is not root
    ]
    for uid, gid, groups, reads, writes in table:
        for request, want in (status, reads), (pause, writes):
            got = as_user(uid, gid, groups, lambda: ask(request))
            assert got.get("code") == want, (uid, gid, groups[:4], request, got)
            if want:
                assert "group" in got["error"], got


def case_alone():
    """Without groups the file itself keeps others out."""
    assert stat.S_IMODE(os.stat(PATH).st_mode) == 0o600
    got = as_user(60001, 60001, [READERS], lambda: ask({"cmd": "status"}))
    assert got.get("errno") == 13, got
    assert ask({"cmd": "status"})["code"] == 0


def case_requests():
    for request, code, error in [
        ("{", 2, "no JSON"),
        ("[]", 2, "a request is"),
        ('{"cmd":1}', 2, "a request is"),
        ('{"cmd":"reboot"}', 2, "no such command"),
        ('{"cmd":"status","args":[]}', 2, "args"),
        ('{"cmd":"status","arguments":{}}', 2, "no such member"),
        ('{"cmd":"status","cmd":"ramp pause"}', 2, "no JSON"),
        ('{"cmd":"ramp pause","who":""}', 2, "who"),
        ('{"cmd":"ramp pause","who":"' + "a" * 64 + '"}', 2, "who"),
        ('{"cmd":"\\u0000"}', 2, "no JSON"),
        ("[" * 5000, 2, "no JSON"),
        ('{"cmd":"ramp next"}', 3, "--after-freeze"),
    ]:
        got = ask(request)
        assert got["schema"] == 1 and got["code"] == code and error in got["error"], (request[:40], got)
    got = ask({"cmd": "ramp pause", "args": {"reason": "lunch"}, "who": "al\u001bice"})
    assert got == {"schema": 1, "code": 0, "state": "paused", "who": "al?ice", "args": {"reason": "lunch"}}, got
    assert ask({"cmd": "ramp pause"})["who"] == "uid 0"
    assert len(ask({"cmd": "huge"})["list"]) == 40000


def case_many_in_one():
    s = dial()
    n = 300
    s.sendall((b'{"cmd":"ramp pause"}\n' + b"\n" * 200) * n)
    s.settimeout(10)
    data = b""
    while data.count(b"\n") < n:
        data += s.recv(65536)
    assert all(json.loads(x)["code"] == 0 for x in data.split(b"\n") if x)


def asked_for():
    began = time.monotonic()
    assert ask({"cmd": "status"})["code"] == 0
    return time.monotonic() - began


def quick():
    """One may be late on a busy machine; behind a crowd every one would be."""
    took = sorted(asked_for() for _ in range(5))
    assert took[2] < 0.5, [f"{t:.3f} s" for t in took]


def case_slow():
    """Commands that take a second, half a line, an answer that nobody reads: root is not delayed."""
    crowd = []
    for i in range(36):
        s = dial()
        s.sendall([b'{"cmd":"slow"}\n', b'{"cmd":"sta', b'{"cmd":"huge"}\n' * 3][i % 3])
        crowd.append(s)
    began = time.monotonic()
    while time.monotonic() - began < 6.5:
        quick()
        time.sleep(0.2)
    for i, s in enumerate(crowd):
        s.settimeout(12)
        if i % 3 == 0:
            assert json.loads(line(s))["code"] == 0
        elif i % 3 == 1:
            assert line(s) == b"", "half a line keeps a place"


def case_long():
    s = dial()
    try:
        s.sendall(b'{"cmd":"' + b"a" * 200000)
    except OSError:
        pass
    try:
        got = line(s)
    except ConnectionResetError:
        got = b""
    assert not got or json.loads(got)["code"] == 2, got[:100]
    quick()


def case_gone():
    """Whoever asked and left leaves nothing behind; one that only waits makes room for root."""
    for _ in range(100):
        s = dial()
        s.sendall(b'{"cmd":"slow"}\n')
        s.close()
    quick()
    time.sleep(1.3)
    crowd = [dial() for _ in range(100)]
    quick()
    assert crowd[0].recv(1) == b"", "the first of the crowd had to go"


def case_crowd():
    """One user cannot take all places, and root always finds one."""
    def many():
        held, refused = [], 0
        for _ in range(60):
            s = dial()
            s.settimeout(0.05)
            try:
                refused += s.recv(1000).count(b"too many")
            except TimeoutError:
                held.append(s)
        return [len(held), refused]
    held, refused = as_user(60001, 60001, [READERS], many)
    assert held == 8 and refused == 52, (held, refused)
    quick()


globals()["case_" + sys.argv[1]]()
