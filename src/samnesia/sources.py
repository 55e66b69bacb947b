"""Functions of users' files, named as ``FILE.py:function``.

A name can be written into a configuration, and other processes find the function by it. Behind an ``@``, a name may
carry a digest of the code that the function depends on in its file, so that a run is not repeated with other code
unnoticed: ``/home/me/table.py:load@0123456789ab``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any

from samnesia.perturb.errors import ConfigurationError

LONGEST = 200  # characters of an error that are quoted
DIGITS = 12  # hexadecimal digits of a digest
_NAME = re.compile(rf"(?P<file>.+):(?P<function>\w+)(?:@(?P<digest>[0-9a-f]{{{DIGITS}}}))?")


@dataclass(frozen=True)
class Source:
    """Where a function is written, so that other processes find it.

    Attributes:
        file: the Python file, as an absolute path.
        function: the function's name in it.
        digest: of the code that the function depended on when it was named; None where nobody has looked.
    """

    file: Path
    function: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str, *, what: str = "a function", example: str = "my_run.py:sam") -> Source:
        """Return the source that ``FILE.py:function`` names; raises ConfigurationError (``what`` is looked for)."""
        match = _NAME.fullmatch(text)
        if match is None or not match["function"].isidentifier():
            raise ConfigurationError(
                f"cannot find {what} by {text!r}, because that is not of the form FILE.py:function; write the file and "
                f"the name of a function in it, as in {example}"
            )
        return cls(Path(match["file"]).resolve(), match["function"], match["digest"])

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Source:
        """Return where a function is written.

        Raises:
            ConfigurationError: for what no other process can find by a file and a name: a lambda, a function inside
                another one, or one that stands in no file.
        """
        name = getattr(function, "__qualname__", type(function).__name__)
        module = sys.modules.get(getattr(function, "__module__", None) or "")
        file = getattr(module, "__file__", None)
        if file is None or not name.isidentifier() or getattr(module, name, None) is not function:
            raise ConfigurationError(
                f"cannot write {name} down in a configuration, because that requires a function that other processes "
                "find by its file and name, and this one is a lambda, stands inside another function, or in no file; "
                "define it with def at the top level of a Python file"
            )
        return cls(Path(file).resolve(), name)

    @property
    def name(self) -> str:
        """``file:function``, without folder and ending, as in the names of runs."""
        return f"{self.file.stem}:{self.function}"

    def __str__(self) -> str:
        return f"{self.file}:{self.function}" + (f"@{self.digest}" if self.digest else "")

    def with_digest(self) -> Source:
        """The same function with the digest of what it depends on now, if it does not have one already.

        Code of installed packages has none: their versions say what they are.
        """
        if self.digest or "site-packages" in self.file.parts:
            return self
        return Source(self.file, self.function, _digest(self.file, self.function))

    def load(self, *, what: str = "call", remedy: str = "define it") -> Callable[..., Any]:
        """Import the file and return the function.

        Raises:
            ConfigurationError: when the file is missing or cannot be imported, has no such function (with ``remedy``),
                or has other code than when the digest was taken.
        """
        function = getattr(import_file(self.file), self.function, None)
        if not callable(function):
            raise ConfigurationError(
                f"cannot {what} by {self.function!r}, because {self.file} has no such function; {remedy}"
            )
        if self.digest is not None and _digest(self.file, self.function) != self.digest:
            raise ConfigurationError(
                f"cannot {what} by {self.function!r} of {self.file}, because its code has changed since the "
                "configuration was written, and a run is not to be mixed with another; restore the code, or start anew"
            )
        loaded: Callable[..., Any] = function
        return loaded

    def call(self, *arguments: Any, what: str) -> Any:
        """Call the function; raises ConfigurationError, with the line, for whatever it raises itself."""
        function = self.load(what=what)
        try:
            return function(*arguments)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"cannot {what} by {self.function!r} of {self.file}, because it raises {told(error, self.file)}; "
                "mend it first"
            ) from error


def written(function: str | Callable[..., Any], *, what: str, example: str) -> str:
    """Return how a function stands in a configuration: its file, its name and the digest of its code.

    Args:
        function: ``FILE.py:function``, or the function itself.
        what: what it is, for messages.
        example: such a name.

    Raises:
        ConfigurationError: for a text of another form, a file that is not there, or a function that has no name by
            which it can be found.
    """
    source = Source.parse(function, what=what, example=example) if isinstance(function, str) else Source.of(function)
    return str(source.with_digest())


def import_file(file: Path) -> ModuleType:
    """Import a Python file, as a script sees it: it may import its neighbours, or the package that it belongs to.

    It becomes the module that other processes make of it as well, so that objects of its classes can be sent to them.

    Raises:
        ConfigurationError: when there is no such file, another module has its name, or it cannot be imported.
    """
    if (loaded := _loaded(file)) is not None:
        return loaded
    if not file.is_file() or file.suffix != ".py":
        raise ConfigurationError(f"cannot read {file}, because there is no such Python file; check the path")
    name, folder = _module_name(file)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        if "." in name:
            return importlib.import_module(name)
        if name in sys.modules or name in sys.builtin_module_names or not name.isidentifier():
            name = f"samnesia_file_{name}_{zlib.crc32(str(file).encode()):08x}"  # beside another module of this name
        return _execute(name, file)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"cannot import {file}, because it raises {told(error, file)}; mend it first"
        ) from error


def told(error: BaseException, file: Path) -> str:
    """The type of an error and the first line of its text, with the last line of ``file`` that it came through."""
    text = str(error).strip().splitlines()
    first = f"{type(error).__name__}: {shorten(text[0], LONGEST, placeholder=' …')}" if text else type(error).__name__
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{first} (line {lines[-1]})" if lines else first


def _loaded(file: Path) -> ModuleType | None:
    """The module that this file is already, the running script included."""
    for module in list(sys.modules.values()):
        found = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(found, str) and found.endswith(file.name) and Path(found).resolve() == file:
            return module
    return None


def _module_name(file: Path) -> tuple[str, Path]:
    """The name under which a file is imported, with that of its package if it is in one, and the folder of that."""
    parts, folder = [file.stem], file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder


def _execute(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # of a .py file there is always one
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _digest(file: Path, function: str) -> str:
    """Digest of the top-level code of ``file`` that ``function`` depends on by name, in the order of the file.

    What is imported from other files stands for itself: its import counts, its code does not.
    """
    try:
        text = file.read_text(encoding="utf-8")
        statements = ast.parse(text).body
    except FileNotFoundError:
        raise ConfigurationError(f"cannot read {file}, because there is no such Python file; check the path") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(
            f"cannot import {file}, because it raises {told(error, file)}; mend it first"
        ) from None
    binds: dict[str, set[int]] = {}
    for place, statement in enumerate(statements):
        for name in _bound(statement):
            binds.setdefault(name, set()).add(place)
    needed: set[int] = set()
    open_names, seen = [function], {function}
    while open_names:
        for place in binds.get(open_names.pop(), set()) - needed:
            needed.add(place)
            fresh = {node.id for node in ast.walk(statements[place]) if isinstance(node, ast.Name)} - seen
            seen |= fresh
            open_names += fresh
    lines = text.splitlines()
    code = ["\n".join(lines[_first_line(statements[place]) - 1 : statements[place].end_lineno]) for place in needed]
    ordered = [part for _, part in sorted(zip(needed, code, strict=True))]
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:DIGITS]


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement may bind, or change what they stand for."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield _root(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # SETTINGS.update(...)
            yield _root(node.value.func)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
