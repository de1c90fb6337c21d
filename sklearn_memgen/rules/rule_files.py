"""Sets of rules in files: what RuleSet reads and writes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Self

from sklearn_memgen.rules import files
from sklearn_memgen.rules.rule import Rule

__all__ = ["RuleFiles"]


class RuleFiles:
    """The part of :class:`RuleSet` that reads and writes files."""

    _rules: dict[str, Rule]
    _disabled: set[str]
    _places: dict[str, str]

    def _include(self, rules: Iterable[Rule]) -> None:
        raise NotImplementedError

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> Self:
        """Read a CSV file of rules, one a line, with a header.

        Parameters
        ----------
        path : str or path
            The file, in UTF-8, its cells parted by commas, semicolons or tabs. Columns
            are `when` and `then`, and, if wanted, `id`, `kind`, `weight`, `enabled`,
            `note`, `author` and `created`. Several classes are a JSON list, such as
            ``["phones", "laptops"]``, and the class 5, unlike ``"5"``, a number.

        Returns
        -------
        rules : RuleSet
            Equal to the one that was written.

        Raises
        ------
        ValueError
            If a rule cannot be read; each is named with its line.
        """
        return cls._from_records(files.read_csv(path))

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Self:
        """Read a JSON file: ``{"rules": [{"when": ..., "then": ...}, ...]}``.

        Parameters
        ----------
        path : str or path
            The file, in UTF-8, with the fields of `from_csv`.

        Returns
        -------
        rules : RuleSet
            Equal to the one that was written.

        Raises
        ------
        ValueError
            If a rule cannot be read; each is named with its line.
        """
        return cls._from_records(files.read_json(path))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a YAML file, with the fields of `from_json`.

        Parameters
        ----------
        path : str or path
            The file, in UTF-8.

        Returns
        -------
        rules : RuleSet
            Equal to the one that was written.

        Raises
        ------
        ImportError
            If PyYAML is not installed.
        ValueError
            If a rule cannot be read; each is named with its line.
        """
        return cls._from_records(files.read_yaml(path))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file, which `from_csv` reads.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        ValueError
            If a rule has no text form, being a function; nothing is written then.
        """
        files.write_csv(path, self._records())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, which `from_json` reads.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        ValueError
            If a rule has no text form, being a function; nothing is written then.
        """
        files.write_json(path, self._records())

    def to_yaml(self, path: str | os.PathLike[str]) -> None:
        """Write a YAML file, which `from_yaml` reads.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        ImportError
            If PyYAML is not installed.
        ValueError
            If a rule has no text form, being a function; nothing is written then.
        """
        files.write_yaml(path, self._records())

    def _records(self) -> list[dict[str, Any]]:
        return [
            files.to_record(rule, id not in self._disabled)
            for id, rule in self._rules.items()
        ]

    @classmethod
    def _from_records(cls, records: list[files.Placed]) -> Self:
        rules, problems = cls(), []
        for where, record in records:
            try:
                rule, enabled = files.from_record(record)
                rules._include([rule])
            except (TypeError, ValueError) as error:
                name = files.name_of(record)
                problems.append(f"{where}{name}: {error}")
                continue
            rules._places[rule.id] = where
            if not enabled:
                rules._disabled.add(rule.id)
        files.raise_problems(problems, "could not be read")
        return rules
