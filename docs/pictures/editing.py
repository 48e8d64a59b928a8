"""Runs the guide docs/editing.md from top to bottom and keeps its pictures: docs/pictures/editing-*.png.

    python docs/pictures/editing.py [FOLDER]

Runs and inversions that are in the folder already (runs/rooms …) are not made again. Commands on files that are not at
hand (ffhq.pkl) are left out.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from contrafact.cli import main as contrafact

GUIDE = Path(__file__).parents[1] / "editing.md"
PICTURES = {
    "editing-photograph.png": "edited/edit.png",
    "editing-samples.png": "strips/samples.png",
    "editing-inversion.png": "inverted/inversion.png",
    "editing-comparison.png": "comparison/comparison.png",
    "editing-plane.png": "runs/rooms/figures/plane.png",
    "editing-rates.png": "runs/rooms/figures/plane_rates.png",
    "editing-cube.png": "runs/rooms/figures/cube.png",
}


def run(language: str, block: str) -> None:
    if language == "python":
        exec(compile(block, GUIDE.name, "exec"), {})
        return
    for line in block.splitlines():
        words = shlex.split(line.removeprefix("$ "))[1:]
        out = Path(words[words.index("--out") + 1]) if "--out" in words else None
        if (
            "ffhq" in line
            or "study score" in line
            or (words[0] in ("fit", "invert") and out is not None and out.exists())
        ):
            continue
        print(line, flush=True)
        if words[:2] == ["study", "make"]:
            shutil.rmtree(str(out), ignore_errors=True)
        if contrafact(words):
            sys.exit(f"failed: {line}")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for language, block in re.findall(r"```(\w+)\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        run(language, block)
    for name, source in PICTURES.items():
        shutil.copyfile(source, GUIDE.parent / "pictures" / name)


if __name__ == "__main__":
    main()
