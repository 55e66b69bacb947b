"""What `samnesia` shows, and what importing it costs."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import samnesia
import samnesia.evaluate
import samnesia.measure

PACKAGES = [samnesia, samnesia.evaluate, samnesia.measure]


def imported_for_type_checkers(package: ModuleType) -> dict[str, str]:
    """Name -> module, from the block under TYPE_CHECKING."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.name: node.module for node in imports for alias in node.names}


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_and_agrees_with_both_ways_to_import(package):
    """Lazily for programs, eagerly for type checkers: the same names from the same modules."""
    assert package.__all__ == sorted(package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)
    lazily = {name: home for home, names in package._HOMES.items() for name in names}
    assert lazily == imported_for_type_checkers(package)
    assert set(package.__all__) - {"__version__"} == lazily.keys()
    assert dir(package) == package.__all__


@pytest.mark.parametrize(("package", "name"), [(package, name) for package in PACKAGES for name in package.__all__])
def test_every_public_name_is_there_and_documented(package, name):
    value = getattr(package, name)
    if name != "__version__":
        assert inspect.getdoc(value)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'smsa'"):
        package.smsa  # noqa: B018


def modules_after(program: str) -> set[str]:
    command = [sys.executable, "-c", f"{program}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_samnesia_does_not_import_torch():
    loaded = modules_after("import samnesia; samnesia.__version__, samnesia.__all__, dir(samnesia)")
    assert not loaded & {"torch", "numpy"}


def test_importing_every_public_name_imports_nothing_that_is_not_needed():
    """torch.distributed.tensor alone costs most of a second."""
    loaded = modules_after("import samnesia\nfor name in samnesia.__all__: getattr(samnesia, name)")
    assert {"torch", "samnesia.perturb.flow.step"} <= loaded
    assert not loaded & {
        "torchvision",
        "timm",
        "lightning",
        "sklearn",
        "scipy",
        "matplotlib",
        "torch.distributed.tensor",
    }
    assert not loaded & {
        "samnesia.train",
        "samnesia.data",
        "samnesia.study.engine",
        "samnesia.models",
        "samnesia.cli",
    }
