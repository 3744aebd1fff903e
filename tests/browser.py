"""A page in headless Chromium, driven over a pipe of the DevTools protocol: no package is needed for it."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from conftest import CHROMIUM

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
READ, WRITE = 3, 4  # the descriptors at which Chromium reads commands and writes answers


class Browser:
    """The pipe to a browser, whose tabs know nothing of each other."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._buffer = b""

    def send(self, command: Mapping[str, Any]) -> int:
        """Send a command; return the number that its answer will have."""
        self._number += 1
        self._commands.write(json.dumps({"id": self._number, **command}).encode() + b"\0")
        return self._number

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        while b"\0" not in self._buffer:
            chunk = self._answers.read(1 << 20)  # what is there
            assert chunk, "Chromium is gone"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(line)


class Page:
    """A tab. `errors` collects what its scripts threw or logged as errors, `requests` what it asked of any network."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._session: str | None = None
        self._sessions: set[str] = set()
        self._frames: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self._profile)["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._sessions.add(self._session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Close the tab, and forget its profile."""
        self._session = None
        self.call("Target.disposeBrowserContext", browserContextId=self._profile)

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def show_as(self, width: int, height: int = 900, **features: str) -> None:
        """Set the size of the window in CSS pixels, and media features, as `prefers_color_scheme="dark"`."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=media)

    def enter_frame(self) -> None:
        """Go on in the frame of the page, which has a process and so a session of its own."""
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        while not self._frames:
            self._receive()
        self._session = self._frames[-1]
        for domain in ("Runtime", "Log"):  # what was logged before is told now
            self.call(f"{domain}.enable")

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript, or a promise, comes to."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key."""
        code = {" ": 32, "Tab": 9, "Enter": 13}.get(key, 0)  # without one, a key has no effect of the browser's own
        for kind in ("keyDown", "keyUp"):
            written = text if kind == "keyDown" else ""
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=written, windowsVirtualKeyCode=code)

    def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse does."""
        place = self.run(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            " element.scrollIntoView({block: 'center'}); const box = element.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        command = {"method": method, "params": arguments}
        if self._session:
            command["sessionId"] = self._session
        number = self._browser.send(command)
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        """Return the next message, and note what must not happen here."""
        message = self._browser.receive()
        if message.get("sessionId") in self._sessions:  # not of a tab that was there before
            self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, event: Mapping[str, Any]) -> None:
        if method == "Target.attachedToTarget":
            self._frames.append(event["sessionId"])
            self._sessions.add(event["sessionId"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.errors.append(event["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not event["request"]["url"].startswith(("data:", "blob:")):
            self.requests.append(event["request"]["url"])


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a fresh browser; end it at the end."""
    to_browser, from_browser = os.pipe(), os.pipe()

    def place_pipes() -> None:
        commands, answers = os.dup(to_browser[0]), os.dup(from_browser[1])
        os.dup2(commands, READ)
        os.dup2(answers, WRITE)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command,
            preexec_fn=place_pipes,
            pass_fds=(READ, WRITE),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_browser[0], from_browser[1]):
            os.close(end)
        with os.fdopen(to_browser[1], "wb", 0) as commands, os.fdopen(from_browser[0], "rb", 0) as answers:
            try:
                yield Browser(commands, answers)
            finally:
                process.kill()
                process.wait()
