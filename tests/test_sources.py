"""Functions of users' files: found by name, imported as other processes import them, held to the code they had."""

import pickle
import subprocess
import sys
import textwrap

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import Source, import_file, written

WHAT = {"what": "a model", "example": "my_model.py:net"}


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    """Writes a user's file; what it puts into this process is taken out again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(text, name="user_file_of_test.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def top_level(value):
    return value + 1


def test_a_function_is_found_by_file_and_name(user_file):
    path = user_file("def double(x): return 2 * x")
    assert Source.parse(f"{path}:double").call(4, what="double") == 8
    assert Source.parse(f"{path}:double").name == "user_file_of_test:double"


def test_a_relative_path_is_written_down_as_an_absolute_one(user_file, monkeypatch):
    path = user_file("def net(): pass")
    monkeypatch.chdir(path.parent)
    assert written(f"{path.name}:net", **WHAT).startswith(f"{path}:net@")


def test_a_function_given_itself_is_the_one_that_is_found_again():
    text = written(top_level, **WHAT)
    assert text.startswith(f"{__file__}:top_level@")
    assert Source.parse(text).load() is top_level
    assert written(text, **WHAT) == text


def closure():
    def inside():
        return 1

    return inside


@pytest.mark.parametrize("function", [lambda: 1, closure(), len, "text".upper, eval("lambda: 1")])
def test_a_function_without_a_place_of_its_own_is_refused(function):
    with pytest.raises(ConfigurationError, match=r"^cannot write .* down .*; define it with def at the top level"):
        written(function, **WHAT)


@pytest.mark.parametrize("text", ["net", "net.py", "net.py:", "net.py:a-b", ":net"])
def test_another_form_is_refused(text):
    with pytest.raises(ConfigurationError, match="not of the form FILE.py:function"):
        written(text, **WHAT)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("import json\nraise ValueError('no\\nmore')", r"because it raises ValueError: no \(line 2\); mend it first"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name' "),
        ("raise SystemExit(3)", "because it raises SystemExit: 3"),
        ("x = (", "because it raises SyntaxError"),
        ("x = 1", "cannot build by 'net', because .* has no such function; define it"),
        ("net = 1", "has no such function"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(user_file, content, sentence):
    path = user_file(content)
    with pytest.raises(ConfigurationError, match=sentence) as refusal:
        Source.parse(f"{path}:net").load(what="build")
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_said(tmp_path):
    for use in (lambda: Source.parse(f"{tmp_path}/a.py:net").load(), lambda: written(f"{tmp_path}/a.py:net", **WHAT)):
        with pytest.raises(ConfigurationError, match="there is no such Python file"):
            use()


def test_what_a_function_raises_is_told_with_its_line(user_file):
    path = user_file(
        """
        def load(seed):
            return helper(seed)

        def helper(seed):
            raise KeyError("column")
        """
    )
    with pytest.raises(ConfigurationError, match=r"cannot load data by 'load' .* KeyError: 'column' \(line 6\)"):
        Source.parse(f"{path}:load").call(0, what="load data")


def test_files_of_one_name_do_not_get_into_each_others_way(user_file):
    one = user_file("def f(): return 1", "one/own_part.py")
    two = user_file("def f(): return 2", "two/own_part.py")
    assert [Source.parse(f"{path}:f").call(what="f") for path in (one, two, one)] == [1, 2, 1]
    assert import_file(one) is import_file(one)


def test_a_file_of_a_package_is_imported_as_part_of_it(user_file):
    user_file("", "package_of_test/__init__.py")
    user_file("def value(): return 7", "package_of_test/near.py")
    path = user_file("from .near import value", "package_of_test/own.py")
    assert Source.parse(f"{path}:value").call(what="f") == 7
    assert import_file(path).__name__ == "package_of_test.own"


def test_objects_of_a_users_classes_reach_processes_that_are_started_anew(user_file):
    """As data workers are, where processes are not forked: they are told the path, and import what is unpickled."""
    path = user_file("class Data:\n    size = 5\ndef make(): return Data()")
    pickled = pickle.dumps(Source.parse(f"{path}:make").call(what="make"))
    program = f"import sys, pickle; sys.path = {sys.path!r}; print(pickle.loads({pickled!r}).size)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "5\n"


BASE = """
import math
WIDTH = 3
TABLE = {}
TABLE["depth"] = 2

class Layer:
    pass

def net():
    return [Layer() for _ in range(WIDTH * TABLE["depth"])]

def other():
    return math.pi

if __name__ == "__main__":
    print(other())
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("math.pi", "math.e", True),
        ("print(other())", "print(other(), 2)", True),
        ("def other", "def one_more(): return 1\n\ndef other", True),
        ("import math", "\n\n# a comment far away\nimport math", True),
        ("WIDTH = 3", "WIDTH = 4", False),
        ('["depth"] = 2', '["depth"] = 9', False),
        ("    pass", "    bias = True", False),
        ("range(WIDTH", "range(2 * WIDTH", False),
    ],
)
def test_the_digest_is_of_what_a_function_depends_on(user_file, old, new, same):
    path = user_file(BASE)
    before = written(f"{path}:net", **WHAT)
    assert old in BASE
    path.write_text(BASE.replace(old, new))
    assert (written(f"{path}:net", **WHAT) == before) is same
    source = Source.parse(before)
    if same:
        assert len(source.load()()) == 6
    else:
        with pytest.raises(ConfigurationError, match="its code has changed since the configuration was written"):
            source.load()


def test_code_of_installed_packages_has_no_digest():
    from torchmetrics import MeanSquaredError

    text = written(MeanSquaredError, **WHAT)
    assert "@" not in text
    assert Source.parse(text).load() is MeanSquaredError
