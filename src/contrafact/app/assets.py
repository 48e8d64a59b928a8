"""The page's own files: markup, looks and modules, and how the modules become one script."""

from __future__ import annotations

import html
import re
from importlib.resources import files

# In the order in which they need each other: one script of all of them is this order without imports and exports.
SHARED = (
    "bytes.js",
    "latents.js",
    "state.js",
    "pixels.js",
    "gif.js",
    "tensors.js",
    "commands.js",
    "marks.js",
    "renders.js",
    "stage.js",
    "sliders.js",
    "tools.js",
    "samples.js",
    "codes.js",
    "plane.js",
    "keep.js",
    "page.js",
)
EXPORTED = (*SHARED, "engine-onnx.js", "open.js")
MODULES = (*SHARED, "engine-server.js", "serve.js")
"""Files that a server hands out beside ``page.css``; nothing else of this folder is a page's business."""

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.MULTILINE)


def text_of(name: str) -> str:
    """A file of the page as text."""
    return files("contrafact.app").joinpath(name).read_text("utf-8")


def bundle(names: tuple[str, ...]) -> str:
    """Modules as one script, for a page that has no place to load a second one from.

    Raises:
        ValueError: a module that needs one which does not stand before it.
    """
    parts: list[str] = []
    for place, name in enumerate(names):
        text = text_of(name)
        for needed in _IMPORT.findall(text):
            if needed not in names[:place]:
                raise ValueError(f"{name} needs {needed}, which must stand before it")
        parts.append(_EXPORT.sub("", _IMPORT.sub("", text)))
    return "\n".join(parts)


def page(*, csp: str, title: str, style: str, data: str, script: str) -> str:
    """The page.

    Args:
        csp: its content-security policy.
        title: text.
        style: element that brings ``page.css``.
        data: elements with what the engine needs.
        script: element that starts it.
    """
    filled = {"csp": html.escape(csp), "title": html.escape(title), "style": style, "data": data, "script": script}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], text_of("page.html"))
