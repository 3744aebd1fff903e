"""Take a picture of the page's *Draw a pair*, which the README shows: the pair that one fixed seed draws.

Reads   docs/index.html
Writes  docs/page.png, where Chromium is installed
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
SEED = 12_345_678
SEEDED = (
    f"<script>{{ let seed = {SEED}; Math.random = () => (seed = (16807 * seed) % 2147483647) / 2147483647; }}</script>"
)
ALONE = "<style>main > :not(:has(#draw)) { display: none !important; }</style>"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000")
SIZE = "--force-device-scale-factor=0.7", "--window-size=1100,1250"


def main() -> None:
    """Have Chromium open a copy of the page that shows nothing else."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("docs/page.png stays as it is: no Chromium is installed", file=sys.stderr)
        return
    page = (DOCS / "index.html").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "page.html")
        copy.write_text(page.replace("</head>", f"{SEEDED}{ALONE}</head>", 1), encoding="utf-8")
        picture = f"--screenshot={DOCS / 'page.png'}"
        profile = f"--user-data-dir={folder}/profile"
        subprocess.run([chromium, *FLAGS, *SIZE, profile, picture, copy.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
