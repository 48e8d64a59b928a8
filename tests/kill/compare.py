"""Whether the files of a folder are whole, and whether two folders hold the same."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

COMMAND = "config.json"
COSTS = ("wall_seconds", "processor_seconds", "peak_memory", "session")
"""What no two computations of a bench's cell have alike."""


def damage(folder: Path) -> list[str]:
    """Files below ``folder`` that a reader could not use; temporary ones, which nobody reads, are left out."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and (what := _damage_of(path)):
            found.append(f"{path.relative_to(folder)} is damaged: {what}")
    return found


def _damage_of(path: Path) -> str:
    from PIL import Image
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".jsonl":
            # The log grows line by line: its last may be cut short, and its reader leaves that out.
            lines = path.read_text(encoding="utf-8").split("\n")
            for line in lines[:-1]:
                json.loads(line)
            if lines[-1] and path.name != "log.jsonl":
                return "its last line is cut short"
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 (no mapping)
                    file.get_tensor(name)
        elif path.suffix == ".pt":
            torch.load(path, map_location="cpu", weights_only=True)
        elif path.suffix in (".png", ".gif"):
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".html":
            return "" if path.read_text(encoding="utf-8").rstrip().endswith("</html>") else "it has no end"
    except (ValueError, OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def leftovers(folder: Path, spared: str | None = None) -> list[str]:
    """Temporary files, a line each, but for one name: a command that could end by itself removes its own."""
    found = sorted(path for path in folder.rglob(".*") if path.is_file() and path.name != spared)
    return [f"{path.relative_to(folder)} is left over" for path in found]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too, by its path; empty folders as well."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[f"{name}/"] = b""
        else:
            found[name] = _comparable(path)
    return found


def _comparable(path: Path) -> bytes:
    """A file's bytes; a configuration's without ``--resume``, which a run that went on may have been started with; what
    a bench notes without what it cost."""
    if path.name == COMMAND:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["command"] = [part for part in config.get("command", []) if part != "--resume"]
        return json.dumps(config).encode()
    if path.name in ("cell.json", "results.json"):
        return json.dumps(_without_costs(json.loads(path.read_text(encoding="utf-8")))).encode()
    return path.read_bytes()


def _without_costs(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_costs(entry) for name, entry in value.items() if name not in COSTS}
    return [_without_costs(entry) for entry in value] if isinstance(value, list) else value


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """What differs between two folders' :func:`contents`, a line each."""
    return [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is left over" for name in found if name not in expected),
        *(f"{name} differs" for name in expected if name in found and expected[name] != found[name]),
    ]
