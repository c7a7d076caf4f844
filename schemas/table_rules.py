"""Every rule of a table: what its model says, and what is declared beside it.

Belongs here: putting them together. Does not belong here: the rules (`model_rules.py`, `quality_rules/`).
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from schemas import quality_rules as declarations
from schemas.declared_files import file_datasets
from schemas.model_rules import model_rules
from schemas.quality_rules.series import series_rules
from schemas.rules import Distribution, Reference, Rule
from schemas.table_spec import TableSpec


@cache
def rules_of(spec: TableSpec) -> tuple[Rule, ...]:
    """The table's rules: those of its model first.

    Raises:
        ValueError: two have the same name, or one names a column the table does not have.
    """
    rules = (*model_rules(spec.model), *declared_rules().get(spec.qualified, ()))
    dataset = file_datasets().get(spec.dataset)
    if dataset is not None and spec.qualified == f"timeseries.{dataset.name}":
        rules += series_rules(dataset)
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{spec.qualified}: two rules are called {', '.join(twice)}")
    for rule in rules:
        if unknown := set(rule.needs) - set(spec.columns):
            raise ValueError(f"{spec.qualified}: rule {rule.name} names {', '.join(sorted(unknown))}, no column of it")
    return rules


@cache
def declared_rules() -> dict[str, tuple[Rule, ...]]:
    """What the modules of `schemas/quality_rules/` declare, by table."""
    found: dict[str, tuple[Rule, ...]] = {}
    for module in iter_modules(declarations.__path__):
        declared = getattr(import_module(f"{declarations.__name__}.{module.name}"), "RULES", {})
        for table, rules in declared.items():
            found[table] = (*found.get(table, ()), *rules)
    return found


def references_of(rules: tuple[Rule, ...]) -> tuple[tuple[str, str], ...]:
    """The tables and keys that the rules ask, each once."""
    return tuple(dict.fromkeys((rule.table, rule.key) for rule in rules if isinstance(rule, Reference)))


def distributions_of(rules: tuple[Rule, ...]) -> tuple[Distribution, ...]:
    """The rules that compare with rows before."""
    return tuple(rule for rule in rules if isinstance(rule, Distribution))
