"""Public names are documented in whole: parameters, attributes, what is returned and raised."""

import ast
import re

import pytest
from test_architecture import MODULES, PUBLIC

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")


def sections(doc):
    """Lines of each section of a docstring, without their indentation of four."""
    found, name = {}, ""
    for line in (doc or "").splitlines():
        if match := SECTION.match(line):
            name = match[1]
            found[name] = []
        elif line and not line.startswith(" "):
            name = ""
        elif name:
            found[name].append(line[4:])
    return found


def entries(lines):
    """{name: text} of the entries of a section; a line that goes on is indented further."""
    found, last = {}, ""
    for line in lines:
        if match := re.match(r"(\w+): (.*)", line):
            last = match[1]
            found[last] = match[2]
        elif last and line.startswith(" "):
            found[last] += " " + line.strip()
    return found


def raised(function):
    """Names of the errors that a function raises itself, not one defined within it."""
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc.func)


def is_property(function):
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def function_faults(name, function):
    doc = sections(ast.get_docstring(function))
    given = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    given += [a.arg for a in function.args.kwonlyargs]
    given += [a.arg for a in (function.args.vararg, function.args.kwarg) if a]
    known = entries(doc.get("Args", []))
    for argument in given:
        if argument not in ("self", "cls") and argument not in known:
            yield f"{name}: argument {argument} has no entry"
    yield from (f"{name}: no argument {argument}" for argument in known if argument not in given)
    yield from phrase_faults(name, known)
    returns = function.returns is not None and ast.unparse(function.returns) not in ("None", "Any")
    if returns and "." not in name and not doc.keys() & {"Returns", "Yields"}:
        yield f"{name}: what it returns isn't told"
    for error in raised(function):
        if error not in entries(doc.get("Raises", [])):
            yield f"{name}: {error} isn't told"


def phrase_faults(name, known):
    for entry, text in known.items():
        if not re.match(r"[^a-z]", text):
            yield f"{name}: '{entry}: {text[:40]}' goes on from its key"


def fields(node):
    """Fields of a data class, a named tuple or a model."""
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and child.target.id != "model_config":
            yield child.target.id


def class_faults(name, node):
    known = entries(sections(ast.get_docstring(node)).get("Attributes", []))
    own = list(fields(node))
    yield from (f"{name}: attribute {field} has no entry" for field in own if field not in known)
    yield from phrase_faults(name, known)
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            if not ast.get_docstring(child):
                overloaded = any("overload" in ast.unparse(d) for d in child.decorator_list)
                if not overloaded:
                    yield f"{name}.{child.name}: no docstring"
            elif not is_property(child) and sections(ast.get_docstring(child)):
                yield from function_faults(f"{name}.{child.name}", child)


def faults(name):
    body = ast.parse(MODULES[PUBLIC[name]].read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield from function_faults(name, node)
        elif isinstance(node, ast.ClassDef) and node.name == name:
            yield from class_faults(name, node)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_in_whole(name):
    assert not list(faults(name))


def test_the_check_sees_what_is_missing():
    text = '''
def f(a, b, *, c):
    """Return something.

    Args:
        a: of the thing.
        d: Nothing.
    """
    raise InputError("no")
'''
    (function,) = ast.parse(text.replace("c):", "c) -> int:")).body
    assert list(function_faults("f", function)) == [
        "f: argument b has no entry",
        "f: argument c has no entry",
        "f: no argument d",
        "f: 'a: of the thing.' goes on from its key",
        "f: what it returns isn't told",
        "f: InputError isn't told",
    ]
