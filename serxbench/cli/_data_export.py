"""serxbench data export"""

from __future__ import annotations

from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command("export")
@click.argument("corpus", metavar="CORPUS[:SPLIT][,OPTION=VALUE]")
@options.data_root
@options.option("--to", required=True, metavar="jsonl|parquet|hf", help="The format.", envvar=None)
@options.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The file (.jsonl, .parquet) or folder (hf) to make.",
    envvar=None,
)
@options.option("--with-audio", is_flag=True, help="Write the clips themselves too (parquet, hf).", envvar=None)
@options.option(
    "--with-transcripts",
    is_flag=True,
    help="Write transcripts also where the licence is not known to let them be passed on.",
    envvar=None,
)
@options.option("--overwrite", is_flag=True, help="Replace OUT if it is there.", envvar=None)
@options.quiet
def export(
    corpus: str,
    data_root: Path | None,
    to: str,
    out: Path,
    with_audio: bool,
    with_transcripts: bool,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Write a corpus as one file for other tools: votes, consensus, speakers, and the paths of its clips.

    jsonl is read back by --data manifest:OUT, parquet by pyarrow, pandas and datasets, hf by datasets.load_from_disk.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.stages.export_corpus import ExportRequest, export_corpus

    progress = listen(quiet)
    opened = options.open_corpus(corpus, data_root)
    for remark in opened.remarks:
        progress.say(remark)
    request = ExportRequest(
        corpus=opened,
        out=out,
        to=to,
        with_audio=with_audio,
        with_transcripts=with_transcripts,
        overwrite=overwrite,
    )
    done = export_corpus(request, progress)
    for problem in done.without_audio:
        progress.say(f"no audio for {problem}")
    failed = f", {len(done.without_audio)} of them without audio" if done.without_audio else ""
    progress.say(f"{out}: {done.n} utterances{failed}; licence of the corpus: {opened.info.licence}")
    return EXIT_FAILED_RECORDS if done.without_audio else 0
