"""Groups of commands that import commands on demand, suggest names and print errors."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from auricle.cli.output import LAYOUT, say
from auricle.errors import (
    FAILED,
    INTERRUPTED,
    AuricleError,
    did_you_mean,
    escaped,
    one_line,
    one_line_with_type,
)

TRAINING_PACKAGES = {"faiss", "lightning", "mutagen", "onnxscript", "pyarrow", "sklearn", "torch"}
"""Packages of the extra `train`, by the names under which they are imported."""


class Group(click.Group):
    """A group of commands that suggests a name in place of an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with; an unknown one is an error of usage."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            hint = did_you_mean(name, known)
            ctx.fail(f"No such command {name!r}{hint}; commands are: {', '.join(known)}")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The top group of a program.

    Imports a command only when it is called, so that help and version are quick. Turns an error of
    the command into one line on standard error and an exit code.

    Args:
        package: Package of the commands, each in a module of the same name with `_` for `-`.
        table: Line of help for each command, by name.
        elsewhere: Modules of the commands that are outside of the package, by name.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        table: Mapping[str, str],
        elsewhere: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.package = package
        self.table = table
        self.elsewhere = elsewhere or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        name = cmd_name.replace("-", "_")
        module = self.elsewhere.get(cmd_name, f"{self.package}.{name}")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))

    def invoke(self, ctx: click.Context) -> Any:
        _prepare_outputs()
        debug, as_json = ctx.params["debug"], ctx.params.get("log_json", False)
        if debug or as_json:
            from auricle.cli.logging_setup import set_up

            set_up(debug, as_json)
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = escaped(error.message, LAYOUT)  # type: ignore[misc]
            raise
        except (click.exceptions.Exit, click.Abort, SystemExit):
            raise
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output has closed the pipe, as in `auricle tag ... | head`.
            sys.stderr.close()
            sys.exit(FAILED)
        except Exception as error:
            if debug:
                raise
            _report(ctx.info_name, _describe(error), as_json)
            sys.exit(getattr(error, "exit_code", FAILED))


def _report(program: str | None, text: str, as_json: bool) -> None:
    """Report the error that ended a command, in the log if that is read by a program."""
    if as_json:
        import logging

        logging.getLogger("auricle").error("%s", text)
    else:
        say(f"{program}: {text}", err=True)


def _describe(error: Exception) -> str:
    """One line that describes the error that ended a command."""
    if isinstance(error, ImportError) and error.name in TRAINING_PACKAGES:
        return f"needs {error.name}: pip install 'auricle[train]'"
    if isinstance(error, AuricleError | OSError):
        return one_line(error)
    return f"{one_line_with_type(error)} (--debug shows where)"


def _prepare_outputs() -> None:
    """Make both outputs and the log accept whatever is printed.

    A closed standard error is replaced, for us and for libraries that write to it. Characters that
    the encoding lacks are escaped, such as those of names that are not UTF-8.
    """
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    import logging

    from auricle.cli.logging_setup import PlainRecord

    logging.setLogRecordFactory(PlainRecord)
