"""Wraps a rule around an unwinder: the result is an unwinder again, in every engine.

Its start and step are written as source, so that they lower as hand-written ones do::

    start:  (the unwinder's words, the rule's words)
    step:   before; the unwinder's step; after

The rule is asked first, so in ``fp+a+b`` b is asked before a, and a before fp.  Where ``after`` refuses, the cursor
that is returned still stands before the step, which is made again if the refusal is ignored.
"""

from __future__ import annotations

import ast
import copy
import linecache
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from lab.errors import InputError
from lab.lowering.source import NotLowerable, Source, take_apart
from lab.unwind.api import NOWHERE, Regs, Unwinder
from lab.unwind.rules.api import Rule

_STEP = '''
def step(mem, cursor):
    """One step of {inner} under the rule {rule}."""
    {own}, {words} = cursor
    said, ({asked},) = before(mem, ({words},))
    if said != 0:
        return said, 0, ({own}, {asked})
    status, ra, ({then},) = inner(mem, ({own},))
    kept, ({told},) = after(mem, ({asked},), status, ra)
    if kept == status:
        return status, ra, ({then}, {told})
    return kept, 0, ({own}, {told})
'''
_RECOVERED = '''
def step(mem, cursor):
    """One step of {inner}; where it finds a trampoline's address, {rule} says whose place it has taken."""
    {own}, {words} = cursor
    status, ra, ({then},) = inner(mem, ({own},))
    if status != 0:
        return status, ra, ({then}, {words})
    said, found, ({told},) = recover(mem, ({words},), ra, {frame})
    if said != 0:
        return said, 0, ({own}, {told})
    return 0, found, ({resumed}, {told})
'''
_START = '''
def start(mode, pc, regs):
    """The words of {inner}, then those of the rule {rule}."""
    return ({first}, {second})
'''
_CALLED = '''
def start(mode, pc, regs):
    """The words of {inner}, then those of the rule {rule}."""
    {own}, = inner(mode, pc, regs)
    {words}, = begin(mode, pc, regs)
    return ({own}, {words})
'''


@cache
def wrap(unwinder: Unwinder, rule: Rule) -> Unwinder:
    """*unwinder* under *rule*, called ``unwinder+rule``; the same object each time."""
    name = f"{unwinder.name}+{rule.name}"
    own, words = _count(unwinder.start), _count(rule.begin)
    titles = {"inner": unwinder.name, "rule": rule.name}
    names = {
        "own": _names("u", own),
        "then": _names("v", own),
        "words": _names("w", words),
        "asked": _names("a", words),
        "told": _names("t", words),
    }
    text, scope = _STEP, {"inner": unwinder.step, "before": rule.before, "after": rule.after}
    if rule.recover is not None:
        text, scope = _RECOVERED, {"inner": unwinder.step, "recover": rule.recover}
        names |= _places(unwinder, rule, own)
    step = _function(f"{name} step", text.format(**titles, **names), "step", scope)
    return replace(
        unwinder,
        name=name,
        title=f"{unwinder.title}; {rule.title}",
        source=f"{unwinder.source}; {rule.source}",
        start=_start(name, unwinder, rule, titles | names),
        step=step,
        arches=_both(unwinder.arches, rule.arches),
        needs_shadow=unwinder.needs_shadow or rule.needs_layout,
        tables=tuple(sorted({*unwinder.tables, *rule.tables})),
    )


def _places(unwinder: Unwinder, rule: Rule, own: int) -> dict[str, str]:
    """The frame that ``recover`` is told of, and the unwinder's words with the recovered address in its place."""
    if unwinder.resumes is None:
        raise InputError(f"{unwinder.name}+{rule.name}: {unwinder.name} does not say of which frame an address is")
    lookup, fp, above = unwinder.resumes
    words = [f"v{number}" for number in range(own)]
    frame = f"{words[above]} - 8 if mem.metadata_offset == 0 else {words[fp]}"
    if lookup != NOWHERE:
        words[lookup] = f"{words[lookup]} - ra + found"
    return {"frame": frame, "resumed": ", ".join(words)}


def _start(name: str, unwinder: Unwinder, rule: Rule, names: dict[str, str]) -> Callable[..., Any]:
    """Both starts as one expression where both are: then the engine sees which registers it depends on."""
    try:
        scope: dict[str, Any] = {}
        first = _elements(take_apart(unwinder.start), "inner_", scope)
        second = _elements(take_apart(rule.begin), "rule_", scope)
        text = _START.format(first=first, second=second, **names)
    except NotLowerable:
        scope = {"inner": unwinder.start, "begin": rule.begin}
        text = _CALLED.format(**names)
    return _function(f"{name} start", text, "start", scope)


def _elements(source: Source, prefix: str, scope: dict[str, Any]) -> str:
    """The elements of the one tuple that *source* returns, its parameters called as in ``_START`` and every other name
    prefixed and put into *scope*; NotLowerable where it is more than that."""
    body = source.node.body[1:] if ast.get_docstring(source.node) is not None else source.node.body
    returned = copy.deepcopy(body[0].value) if len(body) == 1 and isinstance(body[0], ast.Return) else None
    parameters = [argument.arg for argument in source.node.args.args]
    if not isinstance(returned, ast.Tuple) or not returned.elts or len(parameters) != 3:
        raise NotLowerable(f"{source.node.name} is more than one tuple")
    if source.local != set(parameters):
        raise NotLowerable(f"{source.node.name} has variables of its own")
    called = dict(zip(parameters, ("mode", "pc", "regs"), strict=True))
    for name in ast.walk(returned):
        if isinstance(name, ast.Name) and name.id in called:
            name.id = called[name.id]
        elif isinstance(name, ast.Name):
            if name.id not in source.scope:
                raise NotLowerable(f"'{name.id}' is not defined")
            scope[prefix + name.id] = source.scope[name.id]
            name.id = prefix + name.id
    return ", ".join(ast.unparse(element) for element in returned.elts)


def _function(title: str, text: str, name: str, scope: dict[str, Any]) -> Callable[..., Any]:
    """The function *name* of *text*, whose lines ``inspect`` and tracebacks find under ``<title>``."""
    text = text.lstrip("\n")
    file = f"<{title} {len(linecache.cache)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace: dict[str, Any] = dict(scope)
    exec(compile(text, file, "exec"), namespace)
    made: Callable[..., Any] = namespace[name]
    return made


def _count(start: Callable[..., Any]) -> int:
    """Words of the tuple that *start* gives; 1 where it raises or gives something else, which the host will say."""
    try:
        given = start(0, 0, Regs(*(0 for _ in Regs._fields)))
    except Exception:
        return 1
    return len(given) if isinstance(given, tuple) and given else 1


def _names(letter: str, count: int) -> str:
    return ", ".join(f"{letter}{number}" for number in range(count))


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
