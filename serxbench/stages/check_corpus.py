"""A corpus as it lies on disk → what is in it, and everything that is not as it should be."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serxbench.audio import Clip, probe_audio, read_ahead
from serxbench.corpora import (
    Agreement,
    CorpusInfo,
    CorpusRequest,
    Fault,
    Listing,
    compare_pluralities,
    parse_data,
    plurality,
    read_listing,
)
from serxbench.emotions import EMOTIONS, NO_AGREEMENT, OTHER
from serxbench.errors import AudioError, CorpusError
from serxbench.progress import Progress
from serxbench.records import Utterance

#: A clip whose loudest sample is below this (-60 dB of full scale) is taken for silent. The softest of 350 real acted
#: clips of CREMA-D peaks at 0.031, its known silent one at 0.
SILENT_PEAK = 0.001

#: Outside of this, a clip is hardly one utterance. MELD has one of 305 s.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 60.0


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """What `serxbench data check` found.

    faults: of the label files first, then of the audio in corpus order. split: None for all of the corpus.
    """

    info: CorpusInfo
    split: str | None
    options: dict[str, str]
    utterances: Sequence[Utterance]
    labels: tuple[str, ...]
    n_left_out: int
    agreement: Agreement
    audio: dict[str, Any] | None
    remarks: tuple[str, ...]
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as `--json` prints it."""
        agreement = self.agreement
        return {
            "corpus": self.info.name,
            "split": self.split,
            "options": self.options,
            "licence": self.info.licence,
            "upload_allowed": self.info.upload_allowed,
            "labels": list(self.labels),
            "utterances": len(self.utterances),
            "left_out": self.n_left_out,
            "audio_found": sum(utterance.audio is not None for utterance in self.utterances),
            "transcripts": sum(utterance.transcript is not None for utterance in self.utterances),
            "speakers": len({utterance.speaker for utterance in self.utterances} - {None}),
            "groups": len({utterance.group for utterance in self.utterances} - {None}),
            "splits": self._splits(),
            "votes": _describe_votes(self.utterances) if self.info.individual_votes else None,
            "plurality_agreement": {
                "agree": agreement.n_agree,
                "total": agreement.n_total,
                "differing": list(agreement.differing),
            },
            "audio": self.audio,
            "remarks": list(self.remarks),
            "fault_counts": dict(Counter(fault.kind for fault in self.faults)),
            "faults": [{"kind": fault.kind, "where": fault.where, "what": fault.what} for fault in self.faults],
        }

    def _splits(self) -> dict[str, dict[str, Any]]:
        """Split → utterances and how many have each label: the released one, else the plurality of the votes."""
        found: dict[str, Counter[str]] = {}
        for utterance in self.utterances:
            label = utterance.consensus or (plurality(_primaries(utterance)) if utterance.votes else "none")
            found.setdefault(utterance.split or "none", Counter())[label] += 1
        order = [*EMOTIONS, OTHER, NO_AGREEMENT, "none"]
        return {
            split: {
                "utterances": counts.total(),
                "labels": {label: counts[label] for label in order if counts[label]},
            }
            for split, counts in found.items()
        }


def check_corpus(data: str, root: Path | None, *, decode: bool, progress: Progress) -> CorpusReport:
    """Reads all of a corpus, or the split that `data` names, and looks at every clip that is there.

    decode: decode every clip, which finds silence and damage behind a sound header; headers only otherwise.
    Raises CorpusError or UsageError where there is nothing to look at.
    """
    info, request = parse_data(data, root)
    listing = _read_all(data, info, request)
    agreement = listing.agreement or compare_pluralities(
        (u.id, _primaries(u), u.consensus) for u in listing.utterances if u.votes and u.consensus
    )
    faults = list(listing.faults)
    if info.consensus_is_plurality:
        faults += _explain_differences(listing.utterances, agreement)
    audio, audio_faults = _check_audio(listing.utterances, decode, progress)
    return CorpusReport(
        info=info,
        split=request.split if _names_split(data) else None,
        options=dict(request.options),
        utterances=listing.utterances,
        labels=listing.labels or info.labels,
        n_left_out=listing.n_left_out,
        agreement=agreement,
        audio=audio,
        remarks=listing.remarks,
        faults=(*faults, *audio_faults),
    )


def _names_split(data: str) -> bool:
    return bool(data.partition(":")[2].partition(",")[0])


def _read_all(data: str, info: CorpusInfo, request: CorpusRequest) -> Listing:
    """The listing of the split asked for; of all splits, one after the other, if none was."""
    if info.takes_path or _names_split(data) or "all" in info.splits:
        wanted = request if info.takes_path or _names_split(data) else replace(request, split="all")
        return read_listing(data, info, wanted)
    parts = [read_listing(data, info, replace(request, split=split)) for split in info.splits]
    ids = Counter(utterance.id for part in parts for utterance in part.utterances)
    if twice := [id for id, n in ids.items() if n > 1]:
        raise CorpusError(
            f"{data}: '{twice[0]}' is in two splits; name one of them, as in {info.name}:{info.splits[0]}"
        )
    return Listing(
        utterances=[utterance for part in parts for utterance in part.utterances],
        remarks=tuple(dict.fromkeys(remark for part in parts for remark in part.remarks)),
        faults=tuple(dict.fromkeys(fault for part in parts for fault in part.faults)),
        labels=parts[0].labels,
        n_left_out=sum(part.n_left_out for part in parts),
    )


def _primaries(utterance: Utterance) -> list[str]:
    return [vote.primary for vote in utterance.votes]


def _explain_differences(utterances: Sequence[Utterance], agreement: Agreement) -> Iterator[Fault]:
    differing = set(agreement.differing)
    for utterance in utterances:
        if utterance.id in differing:
            found = plurality(_primaries(utterance))
            what = f"the released consensus is {utterance.consensus}, the plurality of its votes {found}"
            yield Fault(kind="consensus_differs", where=utterance.id, what=what)


def _describe_votes(utterances: Sequence[Utterance]) -> dict[str, Any] | None:
    """How many votes an item has, and how far they agree; None if nothing has votes."""
    voted = [Counter(_primaries(utterance)) for utterance in utterances if utterance.votes]
    if not voted:
        return None
    sizes = [counts.total() for counts in voted]
    annotators = {vote.annotator for utterance in utterances for vote in utterance.votes} - {None}
    tops = [max(counts.values()) for counts in voted]
    return {
        "votes": sum(sizes),
        "items": len(voted),
        "annotators": len(annotators) or None,
        "per_item": {"min": min(sizes), "mean": round(statistics.fmean(sizes), 4), "max": max(sizes)},
        "items_by_votes": {str(size): n for size, n in sorted(Counter(sizes).items())},
        "unique_plurality": sum(list(c.values()).count(top) == 1 for c, top in zip(voted, tops, strict=True)),
        "strict_majority": sum(2 * top > size for top, size in zip(tops, sizes, strict=True)),
        "unanimous": sum(len(counts) == 1 for counts in voted),
        "items_by_labels": {str(n): times for n, times in sorted(Counter(map(len, voted)).items())},
    }


def _check_audio(
    utterances: Sequence[Utterance], decode: bool, progress: Progress
) -> tuple[dict[str, Any] | None, list[Fault]]:
    here = [(utterance.id, utterance.audio) for utterance in utterances if utterance.audio is not None]
    if not here:
        return None, []
    scan = _AudioScan()
    clips = read_ahead(path for _, path in here) if decode else None
    progress.start("looking at the audio", total=len(here), done=0)
    try:
        for id, path in here:
            n_faults = len(scan.faults)
            scan.look(id, path, next(clips) if clips is not None else None)
            progress.advance(1, int(len(scan.faults) > n_faults))
    finally:
        if clips is not None:
            clips.close()
        progress.finish()
    return scan.describe(decoded=decode), scan.faults


class _AudioScan:
    """Collects what the clips of a corpus are like; holds numbers and hashes, never the sound."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._seconds: list[float] = []
        self._formats: Counter[tuple[str, int, int]] = Counter()
        self._ids: dict[str, str] = {}

    def look(self, id: str, path: Path, clip: Clip | AudioError | None) -> None:
        """Notes one clip. clip: what decoding gave, None if only the header is looked at."""
        try:
            info = probe_audio(path)
        except AudioError as error:
            self._fault("damaged_audio", id, str(error))
            return
        if isinstance(clip, AudioError):
            self._fault("damaged_audio", id, str(clip))
            return
        seconds = clip.seconds if clip else info.seconds
        self._seconds.append(seconds)
        self._formats[path.suffix.lower(), info.sample_rate, info.channels] += 1
        damage = info.damage or (clip.note if clip and clip.note and clip.note.startswith("cut off") else None)
        if damage:
            self._fault("cut_audio", id, f"{path.name}: {damage.partition(', channels')[0]}")
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            usual = f"{SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} s"
            self._fault("odd_length", id, f"{path.name}: {seconds:.3f} s long; an utterance has {usual}")
        if clip:
            self._listen(id, path, clip)

    def _listen(self, id: str, path: Path, clip: Clip) -> None:
        peak = float(abs(clip.waveform).max())
        if peak < SILENT_PEAK:
            self._fault("silent_audio", id, f"{path.name}: silent (its loudest sample is {peak:.5f} of full scale)")
            return
        first = self._ids.setdefault(clip.sha256(), id)
        if first != id:
            self._fault("same_audio", id, f"{path.name}: the same samples as {first}")

    def _fault(self, kind: str, id: str, what: str) -> None:
        self.faults.append(Fault(kind=kind, where=id, what=what))

    def describe(self, *, decoded: bool) -> dict[str, Any]:
        """The figures of the clips that could be read."""
        seconds = sorted(self._seconds)
        return {
            "decoded": decoded,
            "readable": len(seconds),
            "hours": round(sum(seconds) / 3600, 4),
            "seconds": {
                "min": round(seconds[0], 3),
                "mean": round(statistics.fmean(seconds), 3),
                "median": round(statistics.median(seconds), 3),
                "max": round(seconds[-1], 3),
            }
            if seconds
            else None,
            "formats": [
                {"suffix": suffix, "sample_rate": rate, "channels": channels, "clips": n}
                for (suffix, rate, channels), n in self._formats.most_common()
            ],
        }
