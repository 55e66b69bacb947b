"""The command line: words become objects here, and nowhere else.

Whatever a user can do wrong ends in one sentence on standard error and exit code 2. Torch is imported by the commands
that train, and only when they do, so that ``samnesia --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError, RunStopped, SamnesiaError
from samnesia.processes import first_to_tell, leads
from samnesia.sentences import warnings_as_sentences

if TYPE_CHECKING:
    from samnesia.commands import Command

USER_ERROR, TERMINATED, INTERRUPTED, PIPE_CLOSED = 2, 75, 130, 141
"""75 is EX_TEMPFAIL: a run that was asked to terminate has written a checkpoint, and can go on."""

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default the process's own) ask for, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _terminable(), _one_voice(), warnings_as_sentences():
            require("tyro", extra="train")
            if not words or words[0] in ("-h", "--help"):
                print(_overview())
            elif words[0] == "--version":
                from samnesia import __version__

                print(__version__)
            else:
                code = _command(words).run()
                sys.stdout.flush()
                return code
    except SystemExit as stop:  # after a command's --help
        return int(stop.code or 0)
    except RunStopped as stopped:
        return _say(stopped, TERMINATED, tell=leads())
    except SamnesiaError as error:
        return _say(error, USER_ERROR, tell=first_to_tell("error"))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        with contextlib.suppress(OSError):  # where standard output is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        place = f"use {error.filename}" if error.filename else "go on"
        sentence = f"cannot {place}, because the system refused: {error.strerror or error}"
        return _say(sentence, USER_ERROR, tell=first_to_tell("error"))
    except KeyboardInterrupt as interrupt:
        return _say(str(interrupt) or "interrupted", INTERRUPTED, tell=leads())
    except Exception:
        if first_to_tell("error"):
            raise
        return 1  # the end of another process, whose reason is told, was the end of this one
    return 0


def _say(sentence: object, code: int, *, tell: bool) -> int:
    if tell:
        print(f"samnesia: {sentence}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Of several processes that train together, let only one print what the command has to say."""
    if leads():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let a request to terminate end the command as Ctrl-C does: workers ended, and a sentence about what is kept."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _overview() -> str:
    from samnesia.commands import COMMANDS

    lines = [f"  {name:13}{(kind.__doc__ or '').splitlines()[0]}" for name, kind in COMMANDS.items()]
    return "\n".join(
        (
            "usage: samnesia COMMAND [OPTIONS]",
            "",
            "Sharpness-aware minimization for PyTorch, and the laboratory that says whether it helps.",
            "",
            *lines,
            "",
            "samnesia COMMAND --help explains the options of a command; samnesia --version prints the version.",
        )
    )


def _command(words: list[str]) -> Command:
    from samnesia.commands import COMMANDS
    from samnesia.commands.train import TrainRecipe
    from samnesia.commands.tune import TuneRecipe
    from samnesia.commands.words import configuration
    from samnesia.train.plain import nearest

    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise ConfigurationError(
            f"cannot run {name!r}, because there is no such command; {nearest(name, list(COMMANDS))}"
        )
    if name in ("train", "tune") and not {"-h", "--help"} & set(rest[:1]):
        import tyro

        config, source, rest = configuration(rest, name)
        if name == "tune":
            return _parse(TuneRecipe, rest, prog=f"samnesia tune {source}", default=TuneRecipe(config, source=source))
        default = TrainRecipe(config=config, out=tyro.MISSING)
        return _parse(TrainRecipe, rest, prog=f"samnesia train {source}", default=default)
    if name == "federate":
        from samnesia.commands.federate import parsed

        return parsed(rest, _parse)
    if name == "lifelong":
        from samnesia.commands import lifelong

        return lifelong.parsed(rest, _parse)
    if name == "measure":  # its parts have options of their own
        import tyro

        from samnesia.commands.measure import Measure

        return _parse(Measure, rest, prog="samnesia measure", default=Measure(runs=tyro.MISSING))
    if name == "evaluate":  # its suites have, and so has each kind of data
        import tyro

        from samnesia.commands.evaluate import Evaluate
        from samnesia.commands.words import chosen_data

        data, rest = chosen_data(rest)
        evaluation: Command = _parse(
            Evaluate, rest, prog="samnesia evaluate", default=Evaluate(runs=tyro.MISSING, data=data)
        )
        return evaluation
    return _parse(COMMANDS[name], rest, prog=f"samnesia {name}")


def _parse(kind: type[T], words: list[str], *, prog: str, default: T | None = None) -> T:
    """Parse words into ``kind`` with tyro, whose framed complaints become one sentence."""
    import tyro

    from samnesia.train.plain import nearest

    options, repeated = list(_options(kind, default)), _repeated(kind)
    given: set[str] = set()
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if not option.startswith("--"):
            continue
        if option not in (*options, "--help"):
            same = [known for known in options if known.rpartition(".")[2] == option.lstrip("-").rpartition(".")[2]]
            advice = f"did you mean {same[0]!r}?" if same else nearest(option, options)
            raise ConfigurationError(f"cannot set {option}, because {prog} has no such option; {advice}")
        if option in given and option not in repeated:
            raise ConfigurationError(f"cannot set {option} twice, because one value would be lost; give it once")
        given.add(option)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=words,
                prog=prog,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigurationError(_sentence(complaint.getvalue(), prog)) from None


def _options(kind: type[Any], default: Any, *, prefix: str = "--") -> Iterator[str]:
    """Yield the options that tyro makes of a dataclass: parts of ``default`` are opened, those of the root unnamed."""
    import tyro

    from samnesia.commands.words import kinds

    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        positional = tyro.conf.Positional in getattr(hints[field.name], "__metadata__", ())
        if positional or (prefix == "--" and field.name == "recipe"):  # the name of a run is no option of it
            continue
        value = getattr(default, field.name, None)
        option = prefix + field.name.rstrip("_").replace("_", "-")  # a word of Python has one behind it
        if choices := kinds(hints[field.name]):
            yield f"{option}.kind"
            if "None" in choices and value is None:
                continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _options(type(value), value, prefix="--" if field.name == "config" else f"{option}.")
        else:
            yield option
            if hints[field.name] is bool:
                head, _, last = option.rpartition(".")
                yield f"{head}.no-{last}" if head else f"--no-{option[2:]}"


def _repeated(kind: type[Any]) -> set[str]:
    """The options that may be given several times, each with one value."""
    import tyro

    hints = get_type_hints(kind, include_extras=True)
    names = (name for name, hint in hints.items() if tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ()))
    return {f"--{name.replace('_', '-')}" for name in names}


def _sentence(complaint: str, prog: str) -> str:
    """Return what tyro says in a frame, drawn or of plain hyphens, as one sentence of ours."""
    lines = [line.strip("│ ") for line in complaint.splitlines()]
    title, content = lines[0] if lines else "", lines[1:]
    if content and _is_rule(content[0]):  # below the title, in the plain frame
        content = content[1:]
    content = content[: next((i for i, line in enumerate(content) if _is_rule(line)), len(content))]
    if "Required options" in title:
        required = [line.split()[0] for line in content if re.match(r"--|[A-Z]+$", line)]
        return f"cannot run {prog}, because {' and '.join(required) or 'an option'} is missing; see {prog} --help"
    text = " ".join(content).rstrip(". ")
    if missing := re.match(r"[Mm]issing value for argument '(--[^']+)'", text):
        return f"cannot set {missing[1]}, because its value is missing; write it behind the option"
    if wrong := re.match(r"[Ee]rror parsing (--\S+): (invalid literal for int|could not convert).*?: (.*)$", text):
        kind = "a whole number" if wrong[2].startswith("invalid") else "a number"
        return f"cannot set {wrong[1]} to {wrong[3]}, because it must be {kind}; see {prog} --help"
    if own := re.search(r"cannot .*", text):  # raised by a dataclass of ours
        return own.group()
    return f"cannot run {prog}, because of its options: {text[:1].lower() + text[1:]}; see {prog} --help"


def _is_rule(line: str) -> bool:
    return bool(line) and not line.strip("─-╰╯")


if __name__ == "__main__":
    sys.exit(main())
