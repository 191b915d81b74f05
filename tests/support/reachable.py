"""What of the engine the product reaches: a static walk over names, from the shell's code inwards.

A definition of the engine (function, class, method, constant) is reached when code that is reached itself names it;
the shell, and what a module does when it is imported, are where the walk begins. A method is found by its name alone:
`x.name` reaches every method of that name, whatever `x` is. So does it with the definitions of a module that is handed on
as a value (`f(x, module)`).
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Definition(NamedTuple):
    """A name that a module, or a class in it, defines."""

    module: str
    name: str
    """`function`, `Class`, `Class.method` or `CONSTANT`."""

    @property
    def of_class(self) -> "Definition | None":
        """The class that a method is of."""
        owner, dot, _ = self.name.partition(".")
        return Definition(self.module, owner) if dot else None


class _Names(NamedTuple):
    """What a piece of code names."""

    plain: frozenset[str]
    dotted: frozenset[tuple[str, str]]
    """(name before the dot, attribute) where the former is a plain name."""
    attributes: frozenset[str]


class _Module(NamedTuple):
    name: str
    imports: dict[str, tuple[str, str]]
    """Local name -> (module, name there)."""
    definitions: dict[str, _Names]
    loose: _Names
    """What it names when it is imported, besides its definitions."""


def unreached(root: Path, library: str, product: str) -> list[Definition]:
    """Every definition of the package `library` that neither the package `product` nor the library's own reached
    code names; `root` is the folder that holds both."""
    walk = _Walk({module.name: module for module in _modules(root, (library, product))}, library)
    walk.run()
    return sorted(walk.everything - walk.reached)


class _Walk:
    def __init__(self, modules: dict[str, _Module], library: str) -> None:
        self._modules = modules
        inner = {name for name in modules if name.split(".")[0] == library}
        self.everything = {Definition(name, it) for name in inner for it in modules[name].definitions}
        self.reached: set[Definition] = set()
        self._methods: dict[str, list[Definition]] = defaultdict(list)
        for it in self.everything:
            if it.of_class:
                self._methods[it.name.split(".")[1]].append(it)
        for module in _handed_on(modules):
            for name in modules[module].definitions:
                self._methods[name].append(Definition(module, name))
        self._named: set[str] = set()
        """Every attribute that reached code names."""
        self._waiting = [(module, module.loose) for module in modules.values()]
        self._waiting += [
            (module, names)
            for module in modules.values()
            if module.name not in inner
            for names in module.definitions.values()
        ]

    def run(self) -> None:
        while self._waiting:
            module, names = self._waiting.pop()
            for target in _targets(module, names, self._modules):
                self._reach(target)
            for attribute in names.attributes - self._named:
                self._named.add(attribute)
                for method in self._methods[attribute]:
                    if method.of_class is None or method.of_class in self.reached:
                        self._reach(method)

    def _reach(self, definition: Definition) -> None:
        if definition in self.reached or definition not in self.everything:
            return
        self.reached.add(definition)
        owner = self._modules[definition.module]
        self._waiting.append((owner, owner.definitions[definition.name]))
        for name in owner.definitions:
            inside = Definition(owner.name, name)
            method = name.partition(".")[2]
            if inside.of_class == definition and (method in self._named or method.startswith("__")):
                self._reach(inside)


def _handed_on(modules: dict[str, _Module]) -> set[str]:
    """Modules that somebody uses as a value: named by themselves, and not only before a dot."""
    return {
        inside
        for module in modules.values()
        for names in (module.loose, *module.definitions.values())
        for name in names.plain - {before for before, _ in names.dotted}
        if name in module.imports
        if (inside := ".".join(module.imports[name]).strip(".")) in modules
    }


def _targets(module: _Module, names: _Names, modules: dict[str, _Module]) -> Iterator[Definition]:
    for name in names.plain:
        yield from _resolved(module.name, name, modules)
    for before, attribute in names.dotted:
        if before in module.imports:
            inside = ".".join(module.imports[before]).strip(".")
            yield from _resolved(inside, attribute, modules)


def _resolved(module: str, name: str, modules: dict[str, _Module]) -> Iterator[Definition]:
    """The definition that `name` stands for in `module`, through whatever re-exports it."""
    while module in modules:
        if name in modules[module].definitions:
            yield Definition(module, name)
            return
        if name not in modules[module].imports:
            return
        module, name = modules[module].imports[name]


def _modules(root: Path, packages: Iterable[str]) -> Iterator[_Module]:
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield _module(".".join(it for it in parts if it != "__init__"), ast.parse(path.read_text()))


def _module(name: str, tree: ast.Module) -> _Module:
    imports: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports |= {it.asname or it.name: (node.module, it.name) for it in node.names}
        elif isinstance(node, ast.Import):
            imports |= {it.asname: (it.name, "") for it in node.names if it.asname}
    definitions: dict[str, _Names] = {}
    loose: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            definitions[statement.name] = _names([statement])
        elif isinstance(statement, ast.ClassDef):
            definitions |= _of_class(statement)
        elif targets := _assigned(statement):
            definitions |= dict.fromkeys(targets, _names([statement]))
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            loose.append(statement)
    return _Module(name, imports, definitions, _names(loose))


def _of_class(node: ast.ClassDef) -> dict[str, _Names]:
    methods = [it for it in node.body if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
    rest = [*(it for it in node.body if it not in methods), *node.bases, *node.decorator_list]
    return {node.name: _names(rest)} | {f"{node.name}.{it.name}": _names([it]) for it in methods}


def _assigned(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.AnnAssign):
        return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    if isinstance(statement, ast.Assign):
        names = [it.id for it in statement.targets if isinstance(it, ast.Name)]
        return [it for it in names if it != "__all__"]
    return []


def _names(code: Iterable[ast.AST]) -> _Names:
    nodes = [node for it in code for node in ast.walk(it)]
    attributes = [it for it in nodes if isinstance(it, ast.Attribute)]
    return _Names(
        frozenset(it.id for it in nodes if isinstance(it, ast.Name)),
        frozenset((it.value.id, it.attr) for it in attributes if isinstance(it.value, ast.Name)),
        frozenset(it.attr for it in attributes),
    )
