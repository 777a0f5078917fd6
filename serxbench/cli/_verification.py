"""What `--verify-batch` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serxbench.progress import Progress
    from serxbench.runs import Run
    from serxbench.stages.backends import RespondRequest


def check_verifiable(request: RespondRequest, n: int | None) -> None:
    """Raises UsageError, before anything is asked, if --verify-batch cannot mean anything here."""
    from serxbench.stages.verify import check

    if n is not None:
        check(request, n)


def print_flips(run: Run, request: RespondRequest, n: int | None, progress: Progress) -> None:
    """Asks again if that was wanted, and says which answers differ."""
    from serxbench.stages.verify import VERIFY, verify

    if n is None:
        return
    found = verify(run, request, n, progress)
    progress.say(
        f"asked again one at a time: {found.n} utterances; {found.n_text_flips} answers differ, "
        f"{found.n_label_flips} of them in the class ({run.file(VERIFY)})"
    )
    for flip in found.flips:
        progress.say(f"  {flip.id}: {flip.text!r}, alone {flip.text_alone!r}")
