"""Files of the Hugging Face Hub by name: ``hf://org/repo[/file][@revision]``, for generators, directions and runs.

Files come through ``huggingface_hub`` into its cache and are read by the same readers as any stranger's file: none is
run. What is named without a commit is looked up once, and the name with the commit, which means the same for ever, is
what reports and runs write down. Once in the cache, it is found there without a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from contrafact.core.foreign import first_line

EXTRA = "pip install 'contrafact[hub]'"
WEIGHTS = (".safetensors", ".pt", ".pth", ".pkl", ".bin", ".ckpt", ".tar")
"""Suffixes of files that may be a generator."""
_DIRECTIONS = (".safetensors", ".npz", ".npy", ".pt")
_BESIDE = (".json", ".yaml", ".yml", ".jsonl", ".csv")
"""What is fetched beside a file of weights: settings, and a run's log and scores."""
_FOLDERS = (
    ("config.json", "pytorch_model.bin"),
    ("config.json", "model.safetensors"),
    ("config.json", "diffusion_pytorch_model.safetensors"),
    ("args.json", "generator.pt"),
)
"""Checkpoints that are a folder."""
_PIPELINE = "model_index.json"
"""Lists the parts of a pipeline of the diffusers library, each a folder below."""
_RUN = ("config.json", "result.json")
"""What a run's folder holds; :mod:`~contrafact.core.record` is not asked, which would read torch for a claim."""
_NAME = re.compile(
    r"hf:/+(?P<repo>[\w.-]+/[\w.-]+)(?P<early>@(?:refs/[^/@]+/[^/@]+|[^/@]+))?(?P<file>/[^@]*)?(?P<late>@[^@]+)?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHOWN = 12


@dataclass(frozen=True)
class HubName:
    """A place on the Hub.

    Attributes:
        repo: ``org/repo``.
        file: a file or folder in it; empty for the repository.
        revision: a branch, a tag or a commit; None for the main branch.
    """

    repo: str
    file: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repo}{f'/{self.file}' if self.file else ''}{f'@{self.revision}' if self.revision else ''}"


@dataclass(frozen=True)
class Fetched:
    """What a name of the Hub stands for, on this machine.

    Attributes:
        path: the file, or the folder.
        name: the name with the commit in it.
    """

    path: Path
    name: HubName


def is_hub(source: object) -> bool:
    """Whether a name is one of the Hub's; a ``Path`` of one counts, though it has lost a slash.

    >>> is_hub("hf://org/repo"), is_hub(Path("hf://org/repo")), is_hub("runs/hf")
    (True, True, False)
    """
    return isinstance(source, str | Path) and str(source).startswith("hf:/")


def parse(source: str | Path) -> HubName:
    """A name's parts.

    Raises:
        ValueError: it is not of the form.

    >>> str(parse("hf://org/repo/weights/g.pt@v1.0")), parse("hf://org/repo@main/g.pt").revision
    ('hf://org/repo/weights/g.pt@v1.0', 'main')
    """
    found = _NAME.fullmatch(str(source))
    file = "" if found is None else (found["file"] or "").strip("/")
    if found is None or ".." in PurePosixPath(file).parts or (found["early"] and found["late"]):
        raise ValueError(f"a name on the Hub is hf://ORG/REPO[/FILE][@REVISION], got {str(source)!r}")
    revision = found["early"] or found["late"]
    if revision and ".." in PurePosixPath(revision[1:]).parts:
        raise ValueError(f"{revision[1:]!r} is no revision: give a branch, a tag or a commit")
    return HubName(found["repo"], file, revision[1:] if revision else None)


def fetch(source: str | Path, kind: str) -> Fetched:
    """The file or folder that a name stands for, from the cache or the network.

    Args:
        source: ``hf://org/repo[/file][@revision]``.
        kind: what is looked for where no file is named: ``generator``, ``directions``, ``encoder`` or ``run``.

    Raises:
        ValueError: huggingface_hub is not installed, no such repository, revision or file, several files that it may be
            (they are listed), or no network and nothing in the cache.
    """
    name = parse(source)
    hub = installed()
    with told(name):
        commit, names = _listing(hub, name)
    wanted, place = _wanted(name, names, kind)
    with told(name):
        # By the name given first, so that the cache knows what commit it stands for.
        first = _download(hub, replace(name, file=wanted[0]))
        top = first.parents[len(PurePosixPath(wanted[0]).parts) - 1]
        commit = top.name if _COMMIT.fullmatch(top.name) else commit
        for file in wanted[1:]:
            _download(hub, HubName(name.repo, file, commit))
    return Fetched(top / place if place else top, HubName(name.repo, place, commit))


def local(source: str | Path, kind: str) -> Path:
    """``source``, or where what it names on the Hub lies on this machine."""
    return fetch(source, kind).path if is_hub(source) else Path(source)


def check_own(folder: Path) -> None:
    """Refuse to write into the Hub's cache (ValueError): its files are the repository's."""
    if is_hub(folder):
        raise ValueError(f"{parse(folder)} is on the Hub and is not written to; name a folder of your own")
    absolute = Path(os.path.abspath(folder))
    repo = next((p for p in (absolute, *absolute.parents) if p.name.startswith("models--")), None)
    if repo is not None and (repo / "snapshots").is_dir():
        raise ValueError(
            f"{folder} is the cached copy of {repo.name.removeprefix('models--').replace('--', '/', 1)} on the Hub, "
            f"which is only read; copy it and use the copy: cp -rL {absolute} runs/copy"
        )


def installed() -> Any:
    """The package huggingface_hub (ValueError with the line that installs it, where it is not)."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise ValueError(f"a name hf://… needs huggingface_hub, which is not installed: {EXTRA}") from error
    return huggingface_hub


def is_offline(hub: Any) -> bool:
    """Whether no network shall be used: ``HF_HUB_OFFLINE=1``."""
    return bool(hub.constants.HF_HUB_OFFLINE)


def _listing(hub: Any, name: HubName) -> tuple[str, list[str]]:
    """The commit, and the names of all files at it; without a network, those in the cache."""
    cached = _cached(hub, name)
    is_exact = name.revision is not None and _COMMIT.fullmatch(name.revision)
    if is_exact and cached is not None and name.file and (cached / name.file).is_file():
        return cached.name, _names(cached)  # a commit never changes: what is there need not be asked for
    why = "HF_HUB_OFFLINE is set"
    if not is_offline(hub):
        try:
            info = hub.HfApi().model_info(name.repo, revision=name.revision)
            named = [str(file.rfilename) for file in info.siblings or []]
            return str(info.sha), [n for n in named if not n.startswith("/") and ".." not in PurePosixPath(n).parts]
        except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError):
            raise
        except Exception as error:  # the border: whatever library connects in this version, what is cached will do
            why = f"the Hub cannot be reached ({first_line(error)})"
    if cached is None:
        raise ValueError(
            f"{name} is not in the cache ({hub.constants.HF_HUB_CACHE}), and {why}; fetch it once with a network"
        )
    return cached.name, _names(cached)


def _cached(hub: Any, name: HubName) -> Path | None:
    """The folder of the revision in the cache, as huggingface_hub lays it out; None where there is none."""
    repo = Path(hub.constants.HF_HUB_CACHE, f"models--{name.repo.replace('/', '--')}")
    revision = name.revision or "main"
    ref = repo / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    folder = repo / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _download(hub: Any, name: HubName) -> Path:
    try:
        return Path(hub.hf_hub_download(name.repo, name.file, revision=name.revision, local_files_only=is_offline(hub)))
    except hub.errors.LocalEntryNotFoundError:  # without a network, and the branch is not known here
        folder = _cached(hub, name)
        if folder is None or not (folder / name.file).is_file():
            raise
        return folder / name.file


@contextmanager
def told(name: HubName) -> Iterator[None]:
    """Within the block what the Hub refuses is said in a line."""
    errors = installed().errors
    try:
        yield
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{name.repo} asks its users to agree to something: do so at https://huggingface.co/{name.repo}, then log "
            "in (hf auth login)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"there is no repository {name.repo} on the Hub, or it is private: for one of yours log in (hf auth login)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{name.repo} has no revision {name.revision!r}: give a branch, a tag or a commit") from error
    except errors.LocalEntryNotFoundError as error:
        raise ValueError(
            f"{name} is not in the cache whole, and the Hub is not to be reached; fetch it once with a network"
        ) from error
    except (errors.EntryNotFoundError, errors.HFValidationError, errors.HfHubHTTPError) as error:
        raise ValueError(f"{name}: {str(error).strip().splitlines()[0]}") from error


def _wanted(name: HubName, names: list[str], kind: str) -> tuple[list[str], str]:
    """Names of the files to fetch, and which of them, or what folder, is the thing that was asked for."""
    if name.file in names:
        beside = _within(names, str(PurePosixPath(name.file).parent))
        return [name.file, *(n for n in beside if n.endswith(_BESIDE) and n != name.file)], name.file
    inside = _within(names, name.file)
    if not inside:
        raise ValueError(f"{name.repo} has no file or folder {name.file!r}; it has {_listed(names)}")
    prefix = f"{name.file}/" if name.file else ""
    here = {PurePosixPath(n).name: n for n in inside}
    if here.keys() >= {*_RUN}:
        return [n for n in inside if n.endswith((".safetensors", *_BESIDE))], name.file
    if kind == "run":
        raise ValueError(f"{name} is no run: expected {' and '.join(_RUN)}, it has {_listed(inside)}")
    if f"{kind}.safetensors" in here:
        return _wanted(replace(name, file=f"{prefix}{kind}.safetensors"), names, kind)
    if kind == "generator" and _PIPELINE in here:
        return [here[_PIPELINE], *_parts(names, prefix)], name.file
    if kind == "generator" and any(here.keys() >= {*folder} for folder in _FOLDERS):
        found = next(folder for folder in _FOLDERS if here.keys() >= {*folder})
        return [here[part] for part in found], name.file
    suffixes = WEIGHTS if kind == "generator" else _DIRECTIONS
    may_be = [n for n in inside if n.endswith(suffixes)]
    if len(may_be) == 1:
        return _wanted(replace(name, file=may_be[0]), names, kind)
    if may_be:
        example = replace(name, file=may_be[0])
        raise ValueError(f"{name} has several files that may be the {kind}: {_listed(may_be)}; name one: {example}")
    raise ValueError(f"{name} has no file that may be the {kind} ({', '.join(suffixes)}); it has {_listed(names)}")


def _parts(names: list[str], prefix: str) -> list[str]:
    """Of a pipeline's folders the plain files: settings, vocabularies, and weights, of each the full precision."""
    below = [n for n in names if n.startswith(prefix) and n.count("/") == prefix.count("/") + 1]
    below = [n for n in below if not n.startswith(f"{prefix}safety_checker/")]
    plain = [n for n in below if n.endswith((".json", ".txt"))]
    weights = [n for n in below if n.endswith(".safetensors")]
    whole = [n for n in weights if "." not in PurePosixPath(n).name.removesuffix(".safetensors")]
    folders = {PurePosixPath(n).parent for n in whole}
    return plain + whole + [n for n in weights if n not in whole and PurePosixPath(n).parent not in folders]


def _within(names: list[str], folder: str) -> list[str]:
    """The files that lie in a folder, not below it."""
    where = PurePosixPath(folder or ".")
    return [name for name in names if PurePosixPath(name).parent == where]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + more
