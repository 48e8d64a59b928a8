"""Print a script that completes commands, names and options: source it in bash, zsh or fish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._parse import parse

_BASH = """\
_contrafact() {
    local IFS=$'\\n'
    COMPREPLY=($(contrafact --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _contrafact contrafact
"""
_ZSH = """\
#compdef contrafact
_contrafact() {
    local -a found
    found=("${(@f)$(contrafact --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _contrafact contrafact
"""
_FISH = """\
function __contrafact_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -e words[1]
    contrafact --complete $words "$last" 2>/dev/null
end
complete -c contrafact -a "(__contrafact_complete)"
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@dataclass(frozen=True)
class Options:
    """Print a shell's completion script. For this session: eval "$(contrafact completion bash)"; fish: ... | source."""

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """Whose script."""


def completion(arguments: Sequence[str]) -> None:
    """Print the script."""
    print(_SCRIPTS[parse(Options, arguments, "completion").shell], end="")
