"""onnxruntime-web (MIT), which runs the graph inside an exported page: fetched once, checked, kept."""

from __future__ import annotations

import base64
import hashlib
import re
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from contrafact.core.files import write_bytes
from contrafact.core.places import cache_folder

ADDRESS = "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_BYTES = 33_106_585
# The second can also work on the graphics processor, and is nearly twice as large.
_PROCESSOR = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"
_GRAPHICS = "package/dist/ort.webgpu.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.asyncify.wasm"


@dataclass(frozen=True)
class Runtime:
    """Its two files that a page needs.

    Attributes:
        script: sets ``self.ort`` where it runs.
        wasm: the machine code that it starts.
    """

    script: str
    wasm: bytes


def load_runtime(archive: Path | None = None, *, webgpu: bool = False) -> Runtime:
    """The runtime, from the package as the npm registry gives it.

    Args:
        archive: the package on disk, for machines without a network; by default it is taken from the cache folder, and
            fetched where it is not there.
        webgpu: the build that works through WebGPU too, 4 MB larger in a page.

    Raises:
        ValueError: no such file, one that is not that very package, or it could not be fetched.
    """
    if archive is None:
        archive = cache_folder() / "runtime" / ADDRESS.rpartition("/")[2]
        if not archive.is_file():
            write_bytes(archive, _checked(_fetched(), ADDRESS))
    if not archive.is_file():
        raise ValueError(f"{archive} does not exist; expected the package {ADDRESS}")
    if archive.stat().st_size != _BYTES:
        raise ValueError(_wrong(archive))
    _checked(archive.read_bytes(), archive)
    with tarfile.open(archive, "r:gz") as package:
        script, wasm = (package.extractfile(name) for name in (_GRAPHICS if webgpu else _PROCESSOR))
        assert script is not None
        assert wasm is not None
        return Runtime(_classic(script.read().decode()), wasm.read())


def _classic(module: str) -> str:
    """The module as a plain script: a worker of a page opened as a file can be no module, nor import one."""
    exports = re.search(r"export\{([^}]*)\};?", module)
    assert exports is not None
    pairs = [part.split(" as ") for part in exports[1].split(",")]
    given = ",".join(f"{name}:{local}" for local, name in pairs if name != "default")
    # In a function, so that its short names are not those of what comes behind it.
    script = f"(()=>{{{module[: exports.start()]}self.ort={{{given}}};}})();"
    return script.replace("import.meta.url", "self.location.href")


def _fetched() -> bytes:
    try:
        with urllib.request.urlopen(ADDRESS, timeout=60) as answer:
            content: bytes = answer.read(_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"onnxruntime-web could not be fetched from {ADDRESS} ({error}); fetch it on another machine and name the "
            "file with --runtime"
        ) from error
    return content


def _checked(content: bytes, source: object) -> bytes:
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != SHA512:
        raise ValueError(_wrong(source))
    return content


def _wrong(source: object) -> str:
    return f"{source} is not the package it should be (its SHA-512 differs); expected {ADDRESS}, unchanged"
