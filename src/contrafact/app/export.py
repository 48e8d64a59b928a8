"""One file with the page, the generator and what runs it: it opens in any browser, without a server or a network.

Shape suffixes: S samples, L latent dimensions, K layers, P photographs.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from contrafact.app import assets
from contrafact.app.graph import picture_graph, reading_graph
from contrafact.app.runtime import load_runtime
from contrafact.core.artefact import fingerprint, save_artefact, unbuildable
from contrafact.core.command import without_home
from contrafact.core.files import write_text
from contrafact.core.generator import Generator, sample_latents

if TYPE_CHECKING:
    from contrafact.app.session import Session

MOST_BYTES = 50_000_000
_MOST_SEEDS, _SEED_NUMBERS = 1000, 2**18
_GROWTH = 4 / 3 * 0.93  # base64, of weights compressed


def export_page(
    session: Session, out: Path, *, fp16: bool = False, webgpu: bool = False, runtime: Path | None = None
) -> Path:
    """Write the page with the session's generator, directions, encoder and photographs' latents inside.

    Args:
        session: what is shown.
        out: file to write, ``*.html``.
        fp16: store weights in 16 bits.
        webgpu: let the page use the graphics processor, where the browser gives it one that is faster and makes the
            same pixels; the page is 4 MB larger.
        runtime: onnxruntime-web's package on disk, for machines without a network.

    Returns:
        The page's path.

    Raises:
        ValueError: another kind of file name, a generator that is no graph, a page above about 50 MB, or a missing
            runtime. The message says what to do.
    """
    if out.suffix not in (".html", ".htm"):
        raise ValueError(f"a page must be called *.html, got {out.name!r}")
    generator, directions = session.generator, session.directions
    weights = sum(p.numel() for p in generator.parameters()) * (2 if fp16 else 4)
    _check_size(weights * _GROWTH, fp16)
    blocks = {"graph": picture_graph(generator, directions, fp16)}
    facts = {**session.facts(), "engine": "onnx", "webgpu": webgpu, "runs": [], "can": ["rename"]}
    facts["num_directions"], facts["sphere_dim"] = directions.num_directions, generator.sphere_dim
    encoder = session.encoder
    if encoder is not None and facts["codes"] is not None:
        try:
            blocks["reader"] = reading_graph(encoder, fp16)
        except ValueError as error:
            facts.update(codes=None, notes=[*facts["notes"], f"Codes are not shown: {error}"])
    else:
        facts["codes"] = None
    facts["seeds"] = min(_MOST_SEEDS, max(1, _SEED_NUMBERS // generator.latent_dim))
    blocks["latents"] = seed_latents(generator, facts["seeds"]).numpy().tobytes()
    facts["truncation"] = {"value": generator.truncation, "changeable": generator.truncated_in == "latents"}
    facts["belongs"] = {
        "generator": without_home(generator.name), "weights": fingerprint(generator), "space": generator.space
    }  # fmt: skip
    if session.latents is not None:
        blocks["photos"] = session.latents.latents.float().contiguous().numpy().tobytes()
    if unbuildable(directions) is None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "directions.safetensors"
            save_artefact(directions, file)
            blocks["directions"] = file.read_bytes()
    ran = load_runtime(runtime, webgpu=webgpu)
    blocks |= {"worker": f"{ran.script}\n{assets.text_of('worker-onnx.js')}".encode(), "wasm": ran.wasm}
    text = _page(facts, blocks)
    _check_size(len(text), fp16)
    write_text(out, text)
    return out


@torch.no_grad()
def seed_latents(generator: Generator, seeds: int) -> Tensor:
    """Latents ``(2, S, L)`` of the first seeds, untruncated, and the mean that truncation pulls each of them to.

    Where truncation cannot be chosen for single latents they are as the generator draws them, and so is their mean.
    """
    free = generator.truncated_in == "latents"
    found = []
    for truncation in (1.0, 0.0) if free else (None, None):
        rngs = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
        found.append(torch.cat([sample_latents(generator, 1, rng, truncation).cpu() for rng in rngs]))
    return torch.stack(found).float()


def _check_size(size: float, fp16: bool) -> None:
    if size > MOST_BYTES:
        smaller = "" if fp16 else "store the weights in 16 bits (--fp16), or "
        raise ValueError(
            f"the page would have about {size / 1e6:.0f} MB, and browsers open at most about {MOST_BYTES / 1e6:.0f} MB "
            f"with ease; {smaller}serve it: contrafact explore without --export"
        )


def _page(facts: dict[str, Any], blocks: dict[str, bytes]) -> str:
    style, script = assets.text_of("page.css"), assets.bundle(assets.EXPORTED)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}' 'wasm-unsafe-eval' blob:; worker-src blob:; "
        f"style-src '{_hash(style)}'; img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    data = [f'<script type="application/json" id="facts">{_inert(facts)}</script>']
    for name, content in blocks.items():
        packed = base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
        data.append(f'<script type="application/octet-stream" id="data-{name}">{packed}</script>')
    return assets.page(
        csp=policy,
        title=f"{facts['title']} – contrafact",
        style=f"<style>{style}</style>",
        data="\n".join(data),
        script=f'<script type="module">{script}</script>',
    )


def _inert(facts: dict[str, Any]) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(facts, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
