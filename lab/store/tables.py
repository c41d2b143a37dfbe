"""Rows to Parquet and back: one explicit schema per row type, the same bytes for the same rows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from lab.errors import EngineError, InputError
from lab.store.rows import sort_key

Row = TypeVar("Row")

TABLE_SCHEMA = b"1"
"""Raised whenever a column changes its meaning."""

_ADDRESSES = frozenset({"pc", "words_at"})


def write_table(path: Path, row_type: type[Row], rows: Iterable[Row], omit: frozenset[str] = frozenset()) -> None:
    """Write *rows*, sorted, to *path*; columns in *omit* are left out (the folder's name carries them), and so is one
    with a default that no row differs from.

    EngineError if a value does not fit its column (an address outside 64 bits).
    """
    ordered = sorted(rows, key=sort_key)
    plain = {name for name, value in _defaults(row_type).items() if all(getattr(row, name) == value for row in ordered)}
    schema = _schema(cast(Hashable, row_type), omit | plain)
    try:
        columns = [pa.array([_plain(getattr(row, c.name)) for row in ordered], type=c.type) for c in schema]
        table = pa.Table.from_arrays(columns, schema=schema)
        pq.write_table(table, path, compression="zstd", version="2.6", write_statistics=True)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError) as error:
        raise EngineError(f"{path.name}: a {row_type.__name__} does not fit its table: {error}") from error


def read_table(path: Path, row_type: type[Row], constant: dict[str, str] | None = None) -> list[Row]:
    """The rows in *path*; *constant* are the columns the folder's name carries.

    InputError if the file is missing, truncated, or of another schema.
    """
    constant = constant or {}
    try:
        # A ParquetFile, not read_table: that one would add columns from folder names.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot read this table ({reason}); run the experiment again") from error
    absent = frozenset(_defaults(row_type)) - frozenset(table.schema.names)
    schema = _schema(cast(Hashable, row_type), frozenset(constant) | absent)
    if (table.schema.metadata or {}).get(b"schema") != TABLE_SCHEMA or not table.schema.equals(schema):
        raise InputError(f"{path}: a table of another schema; run the experiment again")
    columns = {name: _values(table.column(name)) for name in schema.names}
    names = list(columns)
    return [row_type(**constant, **dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _defaults(row_type: type[Any]) -> dict[str, Any]:
    """The columns of *row_type* that have a default, with it: those that were added later."""
    given = dataclasses.fields(row_type)
    made = {f.name: f.default_factory() for f in given if f.default_factory is not dataclasses.MISSING}
    return made | {f.name: f.default for f in given if f.default is not dataclasses.MISSING}


def _values(column: Any) -> list[Any]:
    """The column as Python values; repeated strings share one object, maps become dicts."""
    if pa.types.is_map(column.type):
        return [dict(pairs) for pairs in column.to_pylist()]
    if pa.types.is_string(column.type) and len(column):
        encoded = column.combine_chunks().dictionary_encode()
        words = encoded.dictionary.to_pylist()
        return [words[i] for i in encoded.indices.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _plain(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


@functools.cache
def _schema(row_type: Hashable, omit: frozenset[str]) -> Any:
    hints = get_type_hints(row_type)
    columns = [
        _column(item.name, hints[item.name])
        for item in dataclasses.fields(cast(Any, row_type))
        if item.name not in omit
    ]
    return pa.schema(columns, metadata={"schema": TABLE_SCHEMA})


def _column(name: str, hint: Any) -> Any:
    options = get_args(hint)
    nullable = type(None) in options
    plain = next(option for option in options if option is not type(None)) if nullable else hint
    types = {
        str: pa.string(),
        bool: pa.bool_(),
        int: pa.uint64() if name in _ADDRESSES else pa.int64(),
        list[int]: pa.list_(pa.uint64()),
        list[str]: pa.list_(pa.string()),
        dict[str, int]: pa.map_(pa.string(), pa.uint64()),
    }
    return pa.field(name, types[plain], nullable=nullable)
