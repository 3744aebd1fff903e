"""Run the commands of the pages in fresh clones, and write what they print back into the pages.

The lines of a console block are commands. A text block after it shows what the last of them printed. Each page has a
clone of the last commit, with an empty home, in which `make repro` has run.

Reads   README.md, docs/mlflow.md, docs/sharing.md, docs/exercises.md
Writes  the outputs in them
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/mlflow.md", "docs/sharing.md", "docs/exercises.md")
# Not run: what needs an hour, another machine or another site.
LEFT_OUT = ("make test", "python3 -m venv", ".venv/bin/pip", "source")
SERVERS = ("mlflow models serve",)
RESULT = re.compile(r"^Final validation accuracy.*?\n\n.*?(?=\n\n)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Shell:
    """Runs the commands of a page in a folder, those that serve in the background."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.servers: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        """Return what the command prints; raise where it fails."""
        if command.startswith(LEFT_OUT):
            return ""
        if command.startswith(SERVERS):
            return self._serve(command)
        # Into a file: a pipe would stay open as long as what the command leaves running.
        with tempfile.TemporaryFile("w+") as output:
            streams = {"stdout": output, "stderr": subprocess.STDOUT}
            done = subprocess.run(
                ["bash", "-c", command], cwd=self.folder, env=self.environment, check=False, **streams
            )
            output.seek(0)
            printed = output.read()
        if done.returncode:
            raise RuntimeError(f"{command} exited {done.returncode}:\n{printed}")
        if command.startswith("dvc queue start"):
            self._wait_for_queue()
        return printed

    def stop(self) -> None:
        """End what serves."""
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()

    def _serve(self, command: str) -> str:
        port = re.search(r"-p (\d+)", command)[1]
        outputs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        self.servers.append(subprocess.Popen(["bash", "-c", command], cwd=self.folder, env=self.environment, **outputs))
        self.run(f"curl --silent --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/ping")
        return ""

    def _wait_for_queue(self) -> None:
        while re.search("Running|Queued", self.run("dvc queue status")):
            time.sleep(1)


def main() -> None:
    """Run the pages that are named, or all."""
    with tempfile.TemporaryDirectory() as folder:
        base = clone(Path(folder, "base"))
        Shell(base, environment(base)).run("make repro")
        for page in sys.argv[1:] or PAGES:
            with prepared(base, Path(folder, Path(page).stem)) as shell:
                text = (ROOT / page).read_text(encoding="utf-8")
                (ROOT / page).write_text(run_page(text, shell), encoding="utf-8")
            print(page)


def read_commands(text: str) -> list[list[str]]:
    """Return the commands of each console block of a page."""
    return [content.splitlines() for kind, content in BLOCK.findall(text) if kind == "console"]


def run_page(text: str, shell: Shell) -> str:
    """Run all commands of a page, in order; return its text with what they print."""
    printed = ""

    def run_block(block: re.Match[str]) -> str:
        nonlocal printed
        kind, content = block.groups()
        if kind == "text":
            return f"```text\n{shorten(printed)}\n```"
        for command in content.splitlines():
            printed = shell.run(command)
        return block[0]

    return BLOCK.sub(run_block, text)


def shorten(output: str) -> str:
    """Return an output without blanks at the ends of its lines; of a run, the result and the verdicts."""
    result = RESULT.search(output)
    text = result[0] if result else output
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def clone(folder: Path) -> Path:
    """Clone the last commit, as a new user has it but for the packages, which are those of this project."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    link_packages(folder)
    return folder


def link_packages(folder: Path) -> None:
    """Give a clone the packages of this project, so that make has nothing to install."""
    (folder / ".venv").symlink_to(Path(sys.prefix))
    with (folder / ".git/info/exclude").open("a") as excluded:
        excluded.write(".venv\n")
    os.utime(folder / "requirements.lock", (0, 0))  # older than .venv/installed


@contextlib.contextmanager
def prepared(base: Path, folder: Path) -> Iterator[Shell]:
    """Copy the clone for one page, with the remotes and files that the pages speak of; end what it leaves running."""
    project = folder / "project"
    shutil.copytree(base, project, symlinks=True)
    setting = environment(project)
    for command in (
        "git init --quiet --bare --initial-branch=main ../origin.git",
        "git remote set-url origin ../origin.git",
        "git config user.name me && git config user.email me@example.org",
        '(echo width,height,label; seq 40 | awk \'{print $1 % 7 "," $1 % 5 "," $1 % 2}\') > data/own/FILE.csv',
    ):
        subprocess.run(["bash", "-c", command], cwd=project, env=setting, check=True)
    shell = Shell(project, setting)
    try:
        yield shell
    finally:
        shell.stop()


def environment(project: Path) -> dict[str, str]:
    """Return the variables of somebody with an empty home."""
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return kept | {"HOME": str(home), "PATH": f"{project}/.venv/bin:{os.environ['PATH']}", "COLUMNS": "80"}


if __name__ == "__main__":
    main()
