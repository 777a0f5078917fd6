"""The command line. One module a verb, found by its name; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import click

from serxbench import __version__
from serxbench.errors import SerxbenchError, UnknownName

EXIT_FAILED_RECORDS = 3
EXIT_INTERRUPTED = 130


class Verbs(click.Group):
    """The verbs are the modules of this package; `import_` is `import`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, sorted."""
        modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
        return sorted(name.rstrip("_") for name in modules if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb `cmd_name`. Raises UnknownName, which names the nearest."""
        verbs = self.list_commands(ctx)
        if cmd_name not in verbs:
            raise UnknownName("command", cmd_name, verbs, "serxbench --help")
        name = f"{cmd_name}_" if cmd_name == "import" else cmd_name
        command: click.Command = importlib.import_module(f"{__name__}.{name}").command
        return command


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="serxbench")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Benchmark speech language models on speech emotion recognition.

    The first thing to try:  serxbench run --model nano --mode closed

    Exit codes: 0 done, 1 error, 2 usage, 3 finished but some records failed, 130 interrupted.
    """
    from serxbench.cli._defaults import load_defaults

    ctx.default_map = load_defaults()


def main() -> None:
    """Runs the command line: one line on stderr and the right exit code instead of a traceback."""
    try:
        code = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted; repeat the same command to go on where it stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SerxbenchError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
