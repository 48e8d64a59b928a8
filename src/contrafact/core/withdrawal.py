"""What a run takes back when it is refused after all: a folder in which nothing was learned is left as it was found."""

from __future__ import annotations

from types import TracebackType

from contrafact.core.run import CHECKPOINT, CONFIG, LABELS, LOG, Run

_REFUSALS = (ValueError, ArithmeticError, RuntimeError, MemoryError, OSError)


class Withdrawal:
    """Make it before a run starts in the folder it claimed, and train within it: ``with withdrawal: ...``.

    Most of what can be wrong is refused before the claim. What only building the networks shows (images too small for
    them, more memory than there is) must not leave a folder that then refuses the corrected command. So an error before
    anything was learned removes what the start wrote. A folder that held a run before, or that holds a log line, a
    checkpoint or an artefact now, is left alone. (A folder made for the claim goes with the claim, when it is empty.)

    Args:
        run: the run, not yet started.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held_before = (run.folder / CONFIG).exists()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, _REFUSALS) and self._run.is_main and not self._held_before and not self._learned():
            for name in (CONFIG, LABELS):
                (self._run.folder / name).unlink(missing_ok=True)

    def _learned(self) -> bool:
        folder = self._run.folder
        return any((folder / name).exists() for name in (LOG, CHECKPOINT)) or any(folder.glob("*.safetensors"))
