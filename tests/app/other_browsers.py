"""Firefox and WebKit, driven by their own protocols: nothing but the browsers and websockets is needed.

Firefox speaks WebDriver BiDi itself; WebKitGTK, the engine of Safari, is driven by ``WebKitWebDriver`` inside Xvfb.
On Debian: ``apt-get install firefox-esr webkit2gtk-driver xvfb``.
"""

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from websockets.sync.client import connect

MINI_BROWSERS = Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")
# Nothing is asked of any other machine.
PREFERENCES = """
user_pref("app.normandy.enabled", false);
user_pref("browser.search.update", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""


class Missing(Exception):
    """The browser is not installed."""


@contextmanager
def firefox(folder):
    """A page of Firefox, headless, with a new profile in a folder: what opens an address, and what evaluates."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        raise Missing("firefox is not installed (apt-get install firefox-esr)")
    (folder / "user.js").write_text(PREFERENCES)
    command = [program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    log = (folder / "log.txt").open("w+")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        address = _told(folder / "log.txt", "WebDriver BiDi listening on ")
        with connect(f"{address}/session", max_size=None) as session:
            numbers = itertools.count(1)

            def call(method, **given):
                number = next(numbers)
                session.send(json.dumps({"id": number, "method": method, "params": given}))
                while (said := json.loads(session.recv(timeout=120))).get("id") != number:
                    pass
                assert said["type"] == "success", said
                return said["result"]

            call("session.new", capabilities={})
            context = call("browsingContext.getTree")["contexts"][0]["context"]

            def go(address):
                call("browsingContext.navigate", context=context, url=address, wait="complete")

            def evaluate(expression):
                made = call(
                    "script.evaluate",
                    expression=f"JSON.stringify({expression})",
                    target={"context": context},
                    awaitPromise=True,
                )
                assert made["type"] == "success", made
                return json.loads(made["result"].get("value", "null"))

            yield go, evaluate
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@contextmanager
def webkit(folder):
    """A page of WebKitGTK's small browser, on a screen of its own; as :func:`firefox`."""
    driver, screen, browser = shutil.which("WebKitWebDriver"), shutil.which("Xvfb"), next(MINI_BROWSERS, None)
    if None in (driver, screen, browser):
        raise Missing("WebKit is not installed (apt-get install webkit2gtk-driver xvfb)")
    reading, writing = os.pipe()
    shown = subprocess.Popen(
        [screen, "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as numbers:
        display = numbers.readline().strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The browser's own sandbox needs what a container does not have.
    environment = {**os.environ, "DISPLAY": f":{display}", "HOME": str(folder)}
    environment["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
    driving = subprocess.Popen(
        [driver, "--host=127.0.0.1", f"--port={port}"], env=environment, stderr=subprocess.DEVNULL
    )

    def call(method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())["value"]

    try:
        options = {"binary": str(browser), "args": ["--automation"]}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        session = f"/session/{_patiently(lambda: call('POST', '/session', wanted))['sessionId']}"
        yield (
            lambda address: call("POST", f"{session}/url", {"url": address}),
            lambda expression: call(
                "POST", f"{session}/execute/sync", {"script": f"return ({expression})", "args": []}
            ),
        )
        call("DELETE", session)
    finally:
        for process in (driving, shown):
            process.terminate()
            process.wait(30)


def _patiently(ask):
    for _ in range(100):
        with suppress(urllib.error.URLError):
            return ask()
        time.sleep(0.1)
    return ask()


def _told(file, words):
    for _ in range(600):
        found = [line for line in file.read_text().splitlines() if words in line]
        if found:
            return found[0].partition(words)[2].strip()
        time.sleep(0.1)
    raise AssertionError(f"the browser never said {words!r}: {file.read_text()}")
