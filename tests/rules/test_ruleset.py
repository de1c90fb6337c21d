"""Sets of rules: edits, matching, files; their order never changes a result."""

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules.column_values import Table

title, price = col("title"), col("price")
X = pd.DataFrame(
    {
        "title": ["gold ring", "ring binder", "motor oil", None],
        "price": [80.0, 4.5, np.nan, 1.0],
    }
)
FORMATS = ["csv", "json", "yaml"]


def make_rules():
    return [
        Rule(title.matches(r"\brings?\b"), "rings", id="r1", weight=0.5),
        Rule(title.contains("binder"), "rings", "forbid", id="r2", note='a, "b"\n c'),
        Rule((price < 50) & title.contains("oil"), ["oils", "fuels"], "restrict"),
        Rule(
            title == "motor oil", 5, "gate", id="r0", author="é", created="2024-05-31"
        ),
    ]


def save(rules, path):
    getattr(rules, f"to_{path.suffix[1:]}")(path)


def load(path):
    return getattr(RuleSet, f"from_{path.suffix[1:]}")(path)


# Rules


def test_rules_are_values():
    rule = Rule(title.contains("x"), np.int64(1))
    assert rule == Rule(title.contains("x"), 1) and rule.then == 1
    assert rule != Rule(title.contains("x"), True)
    assert len(rule.id) == 8 and rule.id != Rule(title.contains("y"), 1).id
    assert Rule(title.isna(), "a", "restrict").then == ("a",)
    assert Rule(lambda X: X["price"] < 5, "a").when.columns == frozenset()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"when": "title.isna()"}, "parse_condition"),
        ({"when": title}, "must be a condition"),
        ({"then": ["a", "b"]}, "has one class"),
        ({"then": 1.5}, "a class must be"),
        ({"then": ""}, "must not be empty"),
        ({"then": [], "kind": "restrict"}, "at least one class"),
        ({"kind": "allow"}, "kind must be one of"),
        ({"id": 7}, "in quotes"),
        ({"id": " a"}, "without spaces"),
        ({"weight": 0}, "positive"),
        ({"weight": 10**400}, "positive"),
        ({"weight": "1"}, "must be a number"),
        ({"created": "yesterday"}, "ISO format"),
        ({"note": None}, "note must be text"),
    ],
)
def test_wrong_rules(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Rule(**{"when": title.isna(), "then": "a", **arguments})


# Edits


def test_edits_and_versions():
    rules = RuleSet(make_rules())
    hashes = {rules.content_hash}
    for version, edit in enumerate(
        [
            lambda: rules.disable("r1"),
            lambda: rules.remove("r2"),
            lambda: rules.add(Rule(title.isna(), "x", id="r9")),
        ],
        start=1,
    ):
        edit()
        assert rules.version == version
        hashes.add(rules.content_hash)
    assert len(hashes) == 4
    assert rules.ids == [rules.ids[0], "r0", "r1", "r9"] and "r2" not in rules
    assert not rules.is_enabled("r1") and rules["r1"].weight == 0.5
    rules.enable("r1")
    with pytest.raises(KeyError, match="no rule of id 'r2'"):
        rules.remove("r2")
    with pytest.raises(ValueError, match="id 'r9' already"):
        rules.add([Rule(title.isna(), "new", id="r10"), rules["r9"]])
    assert "r10" not in rules and rules.version == 4
    with pytest.raises(TypeError, match="holds rules"):
        RuleSet([title.isna()])


# Matching


def test_match():
    rules = RuleSet(make_rules())
    rules.disable("r2")
    matched = rules.match(X)
    assert matched.format == "csr" and matched.dtype == bool
    by_id = dict(zip(rules.ids, matched.toarray().T.astype(int).tolist(), strict=True))
    assert by_id.pop("r0") == [0, 0, 1, 0]
    assert by_id.pop("r1") == [1, 1, 0, 0]
    assert by_id.pop("r2") == [0, 0, 0, 0]
    assert list(by_id.values()) == [[0, 0, 0, 0]]
    assert RuleSet().match(X).shape == (4, 0)
    assert rules.match(X[:0]).shape == (0, 4)


def test_each_simple_condition_is_evaluated_once(monkeypatch):
    tables = []
    monkeypatch.setattr(
        "sklearn_memgen.rules.ruleset.Table",
        lambda X: tables.append(Table(X)) or tables[-1],
    )
    one, two = title.contains("ring"), price < 50
    whens = [one, two, one & two, one & ~two, one | (price > 60), one & two]
    matched = RuleSet([Rule(w, "a", id=str(i)) for i, w in enumerate(whens)]).match(X)
    assert tables[0].n_evaluated == 3 and not tables[0]._found
    expected = np.array([when.evaluate(X) for when in whens])
    np.testing.assert_array_equal(matched.toarray().T, expected)


def test_order_never_changes_a_result(tmp_path):
    rng = random.Random(0)
    conditions = [
        title.contains("ring"),
        title.contains("gold ring"),
        price < 50,
        price < 5,
        (price < 5) & (price > 9),
        title.isna() | (price > 2),
    ]
    rules = [
        Rule(rng.choice(conditions), rng.choice("ab"), kind, id=str(i))
        for i, kind in enumerate(["assign", "forbid", "restrict", "gate"] * 5)
    ]
    first = RuleSet(rules)
    first.disable("3")
    for _ in range(10):
        rng.shuffle(rules)
        other = RuleSet(rules[:7])
        other.add(rules[7:])
        other.disable("3")
        assert other == first and other.content_hash == first.content_hash
        assert other.ids == first.ids and list(other) == list(first)
        assert (other.match(X) != first.match(X)).nnz == 0
        pd.testing.assert_frame_equal(other.lint(X), first.lint(X))


# Files


@pytest.mark.parametrize("suffix", FORMATS)
def test_round_trip(suffix, tmp_path):
    if suffix == "yaml":
        pytest.importorskip("yaml")
    rules = RuleSet(make_rules())
    rules.disable("r1")
    save(rules, tmp_path / f"rules.{suffix}")
    again = load(tmp_path / f"rules.{suffix}")
    assert again == rules and again.content_hash == rules.content_hash
    save(again, tmp_path / f"again.{suffix}")
    text = (tmp_path / f"rules.{suffix}").read_bytes()
    assert (tmp_path / f"again.{suffix}").read_bytes() == text
    assert text.index(b"r1") < text.index(b"r0")  # the order of the analyst


labels = st.one_of(
    st.integers(),
    st.booleans(),
    st.text(min_size=1),
    st.sampled_from(
        ["5", "no", "true", "[1]", '"a"', "NaN", " a", "null", "1.5", "=1"]
    ),
)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=25, deadline=None)
@given(
    label=labels,
    several=st.lists(labels, min_size=1, max_size=3),
    note=st.one_of(st.text(), st.sampled_from(["\r", " ", "\x85", "\ufeff", "1"])),
    value=st.text(min_size=1),
    weight=st.floats(min_value=1e-300, max_value=1e300),
)
def test_any_text_round_trips(
    suffix, label, several, note, value, weight, tmp_path_factory
):
    if suffix == "yaml":
        pytest.importorskip("yaml")
    rules = RuleSet(
        [
            Rule(col(value) == value, label, note=note, author=note, id="a"),
            Rule(title.isin([value, note]), several, "restrict", weight=weight, id="b"),
        ]
    )
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    save(rules, path)
    assert load(path) == rules


def test_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "rules.csv"
    path.write_bytes(
        b"\xef\xbb\xbfWhen;Then;ID;enabled\r\n"
        b"price < 50;cheap;r1;TRUE\r\n"
        b";;;\r\n"
        b'"title.contains(""ring"")";rings;;no\r\n'
    )
    rules = RuleSet.from_csv(path)
    assert rules["r1"] == Rule(price < 50, "cheap", id="r1")
    (other,) = (rule for rule in rules if rule.id != "r1")
    assert other == Rule(title.contains("ring"), "rings")
    assert not rules.is_enabled(other.id)


HOSTILE = [
    "__import__('os').system('x')",
    "~" * 30_000 + "price.isna()",
    "a" * 100_000,
    "price == " + "9" * 10_000,
    "title.matches('rings?(')",
]


@pytest.mark.parametrize("suffix", FORMATS)
def test_bad_rules_are_named_with_their_lines(suffix, tmp_path):
    bad = {"csv": "line {}", "json": "line {}", "yaml": "line {}"}[suffix]
    path = tmp_path / f"rules.{suffix}"
    if suffix == "csv":
        rows = [f'{i},"{when}",a' for i, when in enumerate(HOSTILE)]
        path.write_text("\n".join(["id,when,then", "x,\n price < 1,a", *rows]))
        lines = [4, 5, 6, 7, 8]
        path.write_text(
            path.read_text()
            .replace("x,\n price", 'x,"\n price')
            .replace(" < 1,a", ' < 1",a')
        )
    elif suffix == "json":
        rows = [
            f'{{"id": "{i}",\n"then": "}}", "when": "{w}"}}'
            for i, w in enumerate(HOSTILE)
        ]
        path.write_text('{"rules": [\n' + ",\n".join(rows) + "\n]}")
        lines = [2, 4, 6, 8, 10]
    else:
        pytest.importorskip("yaml")
        rows = [f'- id: "{i}"\n  then: a\n  when: "{w}"' for i, w in enumerate(HOSTILE)]
        path.write_text("rules:\n" + "\n".join(rows))
        lines = [2, 5, 8, 11, 14]
    with pytest.raises(ValueError, match="5 rules could not be read") as caught:
        load(path)
    message = str(caught.value)
    for i, line in enumerate(lines):
        assert f"{path}, {bad.format(line)}, rule '{i}': " in message
    assert len(message) < 3_000


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("csv", "", None),
        ("csv", "id,then\n1,a", "header must name"),
        ("csv", "when,then\nprice < 1,a,b", "line 2: 3 cells"),
        ("csv", "when,then,colour\nprice < 1,a,b", "unknown field 'colour'"),
        ("csv", "when,then\nprice < 1,", "line 2: the field 'then' is missing"),
        ("csv", "when,then,weight\nprice < 1,a,heavy", "weight must be a number"),
        ("csv", "when,then,enabled\nprice < 1,a,perhaps", "true or false"),
        (
            "csv",
            "id,when,then\nr,a<1,b\nr,a<2,c",
            r"line 3, rule 'r': .*rules.csv, line 2",
        ),
        ("csv", "when,then\nprice < 1," + "[" * 90_000, None),
        ("csv", "when,then\n" + "a" * 200_000, "line 2"),
        ("json", "[" * 100_000, "no JSON file"),
        ("json", "{", "no JSON file"),
        ("json", "[]", "must hold 'rules'"),
        ("json", '{"rules": [5]}', "rule number 1: a rule has fields"),
        ("json", '{"rules": [{"when": 5, "then": "a"}]}', "must be a string"),
        ("json", '{"rules": [{"when": "a<1", "then": {}}]}', "a class must be"),
        ("json", '{"rules": [{"id": [], "when": "a<1", "then": 1}]}', "in quotes"),
        ("yaml", "rules: [" * 5_000, "no YAML file"),
        ("yaml", "rules: !!python/object/apply:os.system ['x']", "no YAML file"),
        ("yaml", "", "must hold 'rules'"),
        ("yaml", "rules:\n- id: 007\n  when: a < 1\n  then: b", "line 2, rule 7: id"),
    ],
)
def test_bad_files(suffix, text, message, tmp_path):
    if suffix == "yaml":
        pytest.importorskip("yaml")
    path = tmp_path / f"rules.{suffix}"
    path.write_text(text)
    if message is None:
        load(path)
        return
    with pytest.raises(ValueError, match=message):
        load(path)


def test_functions_stay_in_python(tmp_path):
    rules = RuleSet([Rule(lambda X: X["price"] < 5, "a", id="f"), *make_rules()])
    assert rules.match(X).shape == (4, 5)
    with pytest.raises(ValueError, match="rule 'f': .* no text form"):
        rules.to_csv(tmp_path / "rules.csv")
    assert not list(tmp_path.iterdir())
    wrong = RuleSet([Rule(lambda X: X["colour"] == 1, "a", id="f")])
    with pytest.raises(KeyError, match="colour") as caught:
        wrong.match(X)
    assert caught.value.__notes__ == ["in rule 'f'"]


def test_yaml_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ImportError, match=r"sklearn-memgen\[rules\]"):
        RuleSet().to_yaml(tmp_path / "rules.yaml")


def test_misfits_are_named_with_their_lines(tmp_path):
    path = tmp_path / "rules.csv"
    path.write_text("id,when,then\nr1,colour.isna(),a\nr2,title < 5,b\n")
    rules = RuleSet.from_csv(path)
    with pytest.raises(ValueError, match=r"line 2, rule 'r1': X has no column colour"):
        rules.match(X)
    with pytest.raises(ValueError, match=r"line 3, rule 'r2': unknown class 'b'"):
        rules.check(classes=np.array(["a", "c"]))
    rules.disable("r1")
    rules.check(X, classes=["b"])
    with pytest.raises(TypeError, match=r"line 3, rule 'r2': title < 5 is for numbers"):
        rules.match(X)
