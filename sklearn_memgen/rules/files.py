"""Rules in CSV, JSON and YAML files that people edit."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from sklearn_memgen.rules.literals import MAX_TEXT, shorten
from sklearn_memgen.rules.parsing import parse_condition
from sklearn_memgen.rules.rule import Rule

__all__ = [
    "Placed",
    "from_record",
    "name_of",
    "raise_problems",
    "read_csv",
    "read_json",
    "read_yaml",
    "to_record",
    "write_csv",
    "write_json",
    "write_yaml",
]

#: Where a record stands in a file, and the record.
Placed = tuple[str, dict[str, Any]]
Path_ = str | os.PathLike[str]

_FIELDS = (
    "id",
    "kind",
    "when",
    "then",
    "weight",
    "enabled",
    "note",
    "author",
    "created",
)
_DEFAULTS = {"weight": 1.0, "enabled": True, "note": "", "author": "", "created": ""}
_YES_NO = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_SHOWN = 10


def raise_problems(problems: list[str], summary: str) -> None:
    """Raise ValueError if there are problems, with the first ten of them.

    Parameters
    ----------
    problems : list of str
        One line each.
    summary : str
        What could not be done with so many rules.
    """
    if problems:
        shown = problems[:_SHOWN]
        if len(problems) > _SHOWN:
            shown.append(f"and {len(problems) - _SHOWN} more")
        count = f"{len(problems)} {'rule' if len(problems) == 1 else 'rules'}"
        raise ValueError("\n  ".join([f"{count} {summary}:", *shown]))


# Records


def to_record(rule: Rule, enabled: bool, *, functions: bool = False) -> dict[str, Any]:
    """Return a rule as plain values.

    Parameters
    ----------
    rule : Rule
        The rule.
    enabled : bool
        Whether it is enabled.
    functions : bool, default=False
        Whether functions are let through, by their names.

    Returns
    -------
    record : dict of str to str, float, bool or list
        By the names of the fields.

    Raises
    ------
    ValueError
        If the condition has no text form, or one that is too long.
    """
    if functions:
        when = str(rule.when)
    else:
        try:
            when = rule.when.to_text()
        except ValueError as error:
            raise ValueError(f"rule {rule.id!r}: {error}") from None
        if len(when) > MAX_TEXT:
            raise ValueError(
                f"rule {rule.id!r}: the text form of its condition has {len(when):,} "
                f"characters, more than the {MAX_TEXT:,} that can be read"
            )
    return {
        "id": rule.id,
        "kind": rule.kind,
        "when": when,
        "then": list(rule.classes) if rule.kind == "restrict" else rule.then,
        "weight": rule.weight,
        "enabled": enabled,
        "note": rule.note,
        "author": rule.author,
        "created": rule.created,
    }


def from_record(record: dict[str, Any]) -> tuple[Rule, bool]:
    """Return the rule of a record, and whether it is enabled.

    Parameters
    ----------
    record : dict
        As of `to_record`; all but `when` and `then` may be left out.

    Returns
    -------
    rule : Rule
        The rule.
    enabled : bool
        Whether it is enabled.

    Raises
    ------
    TypeError, ValueError
        If a field is unknown, missing or wrong.
    """
    for name in record:
        if name not in _FIELDS:
            raise ValueError(f"unknown field {shorten(repr(name))}; known: {_FIELDS}")
    for name in ("when", "then"):
        if record.get(name) is None:
            raise ValueError(f"the field {name!r} is missing")
    fields = {name: value for name, value in record.items() if value is not None}
    enabled = fields.pop("enabled", True)
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be true or false; got {shorten(repr(enabled))}")
    when = parse_condition(fields.pop("when"))
    then = fields.pop("then")
    return Rule(when, then, fields.pop("kind", "assign"), **fields), enabled


def name_of(record: Any) -> str:
    """Return the id of a record for a message, if it has one.

    Parameters
    ----------
    record : dict
        The record.

    Returns
    -------
    name : str
        Such as ``", rule 'r1'"``, or nothing.
    """
    id = record.get("id")
    return f", rule {shorten(repr(id))}" if id else ""


def _shorten_records(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records without the fields that have their default values."""
    return [
        {k: v for k, v in r.items() if k not in _DEFAULTS or v != _DEFAULTS[k]}
        for r in records
    ]


# CSV


def read_csv(path: Path_) -> list[Placed]:
    """Return the records of a CSV file."""
    text = _read(path)
    name = os.fspath(path)
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    records: list[Placed] = []
    fields: list[str] = []
    line = 1
    try:
        for cells in reader:
            where = f"{name}, line {line}"
            line = reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not fields:
                fields = [cell.strip().lower() for cell in cells]
                if not {"when", "then"} <= set(fields) or len(set(fields)) < len(
                    fields
                ):
                    raise ValueError(
                        f"{where}: the header must name the columns, 'when' and 'then' "
                        f"among them, each once; got {shorten(repr(cells))}"
                    )
                continue
            if any(cell.strip() for cell in cells[len(fields) :]):
                raise ValueError(
                    f"{where}: {len(cells)} cells, but the header has {len(fields)}; "
                    "put a cell with the delimiter in it in double quotes"
                )
            record = dict(zip(fields, cells, strict=False))
            records.append((where, _read_cells(record, where)))
    except csv.Error as error:
        raise ValueError(f"{name}, line {line}: {error}") from None
    return records


def write_csv(path: Path_, records: list[dict[str, Any]]) -> None:
    """Write records to a CSV file."""
    buffer = io.StringIO(newline="")
    # RFC 4180; and with "\n" a lone "\r" in a cell would not be quoted.
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(_FIELDS)
    for record in records:
        cells = dict(record)
        cells["then"] = _write_class(record["then"])
        cells["weight"] = f"{record['weight']!r}"
        cells["enabled"] = "yes" if record["enabled"] else "no"
        writer.writerow([cells[name] for name in _FIELDS])
    _write(path, buffer.getvalue())


def _read_cells(cells: dict[str, str], where: str) -> dict[str, Any]:
    """Return the fields that the cells of a line say; empty ones are left out."""
    record: dict[str, Any] = {}
    for name, cell in cells.items():
        stripped = cell.strip()
        if name in ("note", "author"):
            record[name] = cell
        elif not stripped:
            continue
        elif name == "then":
            record[name] = _read_class(stripped)
        elif name == "weight":
            try:
                record[name] = float(stripped)
            except ValueError:
                record[name] = stripped
        elif name == "enabled":
            record[name] = _YES_NO.get(stripped.lower(), stripped)
        elif name:
            record[name] = stripped
        else:
            raise ValueError(f"{where}: a column without a name has {cell!r} in it")
    return record


def _read_class(cell: str) -> Any:
    """Return what the cell of a class says: JSON, or else the text itself."""
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return value if isinstance(value, str | int | list) else cell


def _write_class(then: Any) -> str:
    """Return the cell of a class: bare, or as JSON if that would be misread."""
    if isinstance(then, str) and then == then.strip() and _read_class(then) == then:
        return then
    return json.dumps(then, ensure_ascii=False)


# JSON


def read_json(path: Path_) -> list[Placed]:
    """Return the records of a JSON file."""
    text, name = _read(path), os.fspath(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON file: {shorten(str(error))}") from None
    return _place(data, _lines_of_objects(text), name)


def write_json(path: Path_, records: list[dict[str, Any]]) -> None:
    """Write records to a JSON file."""
    data = {"rules": _shorten_records(records)}
    _write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _lines_of_objects(text: str) -> list[int]:
    """Return the lines on which the elements of the outer list begin, if objects."""
    lines, line, depth = [], 1, 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}\n]', text):
        if token == "\n":
            line += 1
        elif token in "[{":
            if token == "{" and depth == 2:
                lines.append(line)
            depth += 1
        elif token in "]}":
            depth -= 1
    return lines


def _place(data: Any, lines: list[int], name: str) -> list[Placed]:
    rules = data.get("rules") if isinstance(data, dict) else None
    if not isinstance(rules, list) or len(data) > 1:
        raise ValueError(f"{name} must hold 'rules', a list of rules, and nothing else")
    known = len(lines) == len(rules)
    placed = []
    for i, record in enumerate(rules):
        where = f"{name}, line {lines[i]}" if known else f"{name}, rule number {i + 1}"
        if not isinstance(record, dict):
            raise ValueError(f"{where}: a rule has fields; got {shorten(repr(record))}")
        placed.append((where, record))
    return placed


# YAML


def read_yaml(path: Path_) -> list[Placed]:
    """Return the records of a YAML file."""
    yaml, text, name = _import_yaml(), _read(path), os.fspath(path)
    lines: list[int] = []
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
        if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
            elements = node.value[0][1].value
            if isinstance(elements, list):
                lines = [
                    element.start_mark.line + 1
                    for element in elements
                    if isinstance(element, yaml.Node)
                ]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise ValueError(f"{name} is no YAML file: {shorten(message, 200)}") from None
    return _place(data, lines, name)


def write_yaml(path: Path_, records: list[dict[str, Any]]) -> None:
    """Write records to a YAML file."""
    yaml = _import_yaml()
    base: Any = yaml.SafeDumper

    class Dumper(base):
        """Escapes what YAML would take for the end of a line."""

    def represent(dumper: Any, text: str) -> Any:
        style = None if text.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    data = {"rules": _shorten_records(records)}
    text = yaml.dump(
        data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10 * MAX_TEXT
    )
    _write(path, text)


def _import_yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError:
        raise ImportError(
            "rules in YAML files need PyYAML; install it by "
            "pip install 'sklearn-memgen[rules]'"
        ) from None


# Text


def _read(path: Path_) -> str:
    try:
        # Spreadsheets begin a file with a byte order mark.
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not in UTF-8: {error}") from None
    return text


def _write(path: Path_, text: str) -> None:
    Path(path).write_bytes(text.encode())
