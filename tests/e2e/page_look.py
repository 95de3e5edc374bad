#!/usr/bin/python3
"""page_look: a headless Chromium, led by lines of stdin; a line of stdout answers each.

    open URL             done, once the page is loaded
    size W H [dark]      done
    until MS EXPR        true, or false when EXPR did not become true in that time
    eval EXPR            its value as JSON
    shot FILE            done
    errors               a JSON list of what the console and the policy complained of

Speaks the DevTools protocol over the pipe that Chromium reads at descriptor 3 and writes at 4.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time


class Browser:
    def __init__(self, folder):
        to_read, self.out = os.pipe()
        self.inp, to_write = os.pipe()
        # 3 and 4 may be pipes of ours: they are moved by way of high numbers
        high_read, high_write = 60, 61
        os.dup2(to_read, high_read)
        os.dup2(to_write, high_write)
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec 3<&{high_read} 4>&{high_write} "$@"', "-",
             shutil.which("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
             "--hide-scrollbars", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={folder}",
             "--remote-debugging-pipe", "about:blank"],
            pass_fds=(high_read, high_write), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(high_read)
        os.close(high_write)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page["targetId"],
                                flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log":
            self.ask(domain + ".enable")

    def receive(self, until):
        while b"\0" not in self.rest:
            if not select.select([self.inp], [], [], max(0, until - time.monotonic()))[0]:
                return None
            data = os.read(self.inp, 1 << 20)
            if not data:
                raise EOFError("the browser has ended")
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 60
        while True:
            got = self.receive(until)
            if got is None:
                raise TimeoutError(method)
            if got.get("id") == self.number:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']['message']}")
                return got["result"]
            self.events.append(got)

    def value(self, expression):
        got = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in got:
            return "error: " + got["exceptionDetails"]["exception"].get("description", "?")
        return got["result"].get("value")

    def until(self, ms, expression):
        end = time.monotonic() + ms / 1000
        while time.monotonic() < end:
            if self.value(expression) is True:
                return True
            time.sleep(0.05)
        return False

    def errors(self):
        found = []
        for e in self.events:
            p = e.get("params", {})
            if e.get("method") == "Runtime.exceptionThrown":
                found.append(p["exceptionDetails"].get("exception", {}).get("description", "?"))
            elif e.get("method") == "Log.entryAdded" and p["entry"]["level"] == "error":
                found.append(p["entry"]["text"])
        self.events = []
        return found


def obey(browser, line):
    verb, _, rest = line.partition(" ")
    if verb == "open":
        browser.ask("Page.navigate", url=rest)
        return browser.until(20000, "document.readyState === 'complete'")
    if verb == "size":
        width, height, *scheme = rest.split()
        browser.ask("Emulation.setDeviceMetricsOverride", width=int(width), height=int(height),
                    deviceScaleFactor=1, mobile=int(width) < 600)
        browser.ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme[0] if scheme else "light"}])
        return True
    if verb == "until":
        ms, _, expression = rest.partition(" ")
        return browser.until(int(ms), expression)
    if verb == "eval":
        return browser.value(rest)
    if verb == "shot":
        data = browser.ask("Page.captureScreenshot", format="png")["data"]
        with open(rest, "wb") as f:
            f.write(base64.b64decode(data))
        return True
    return browser.errors()


def main():
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(folder)
        try:
            print("ready", flush=True)
            for line in sys.stdin:
                print(json.dumps(obey(browser, line.rstrip("\n"))), flush=True)
        finally:
            browser.process.terminate()
            browser.process.wait()


main()
