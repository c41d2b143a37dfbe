"""run.json: everything about a run but its row tables, validated to the last key when it is read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lab.errors import EngineError, InputError
from lab.experiment import Experiment
from lab.store.provenance import Provenance
from lab.store.rows import Cell, ImageRow, RunResult, sort_key

RUN_SCHEMA = 1
"""Raised whenever run.json changes its meaning; another number is refused."""


@dataclass(frozen=True)
class Run:
    """One run, fresh or loaded.  ``run_id`` is 12 hex digits; see run_id()."""

    run_id: str
    provenance: Provenance
    result: RunResult


class Document(BaseModel):
    """The shape of run.json."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    schema_version: int
    run_id: str
    provenance: Provenance
    config: Experiment
    compilers: list[dict[str, str]]
    images: list[ImageRow]
    cells: list[Cell]
    notes: list[str]


def run_id(experiment: Experiment, version: str, hashes: Iterable[str]) -> str:
    """12 hex digits of the sha256 over configuration, package version and the sha256 of all images and
    unwinder files: the same experiment on the same images has the same id, whatever it finds."""
    text = "\n".join([experiment.canonical(), version, *sorted(hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_run(result: RunResult, provenance: Provenance) -> Run:
    """*result* with its id.  Rows get the experiment's order, whatever order the jobs ended in."""
    hashes = [f"{i.arch}/{i.compiler}/{i.workload}/{i.proposal}={i.sha256}" for i in result.images]
    hashes += [f"{path}={digest}" for path, digest in provenance.unwinder_files.items()]
    ordered = dataclasses.replace(
        result,
        cells=sorted(result.cells, key=_place_in(result.experiment)),
        stacks=sorted(result.stacks, key=sort_key),
        costs=sorted(result.costs, key=sort_key),
        images=sorted(result.images, key=sort_key),
        code=sorted(result.code, key=sort_key),
    )
    return Run(run_id(result.experiment, provenance.unwindlab, hashes), provenance, ordered)


def _place_in(experiment: Experiment) -> Callable[[Cell], tuple[tuple[int, str], ...]]:
    lists = (
        experiment.arches,
        experiment.compilers,
        experiment.workloads,
        experiment.proposals,
        experiment.unwinders,
        experiment.modes,
    )
    ranks = [{name: i for i, name in enumerate(names)} for names in lists]

    def place(cell: Cell) -> tuple[tuple[int, str], ...]:
        return tuple((rank.get(name, len(rank)), name) for rank, name in zip(ranks, cell.key, strict=True))

    return place


def to_json(run: Run) -> str:
    """run.json's text."""
    found = run.result
    plain: dict[str, Any] = {
        "schema_version": RUN_SCHEMA,
        "run_id": run.run_id,
        "provenance": dataclasses.asdict(run.provenance),
        "config": found.experiment.model_dump(mode="json"),
        "compilers": found.compilers,
        "images": [dataclasses.asdict(image) for image in found.images],
        "cells": [dataclasses.asdict(cell) for cell in found.cells],
        "notes": found.notes,
    }
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in plain.items()) + "\n}\n"


def _lines(value: Any) -> str:
    """JSON with one line per item of a list: short, and a change to one cell is a change to one line."""
    if isinstance(value, list) and value:
        return "[\n " + ",\n ".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value, indent=1 if isinstance(value, dict) else None)


def read_document(path: Path) -> Document:
    """run.json at *path*; InputError if it is missing, cut short, of another schema, or contradicts itself."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent}: not a run: it has no run.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot read it as JSON ({error}); run the experiment again") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != RUN_SCHEMA:
        raise InputError(f"{path}: schema version {version}, but this unwindlab reads {RUN_SCHEMA}; run it again")
    try:
        return Document.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; run the experiment again") from error
    except EngineError as error:
        raise InputError(f"{path}: {error}; run the experiment again") from error
