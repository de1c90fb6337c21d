"""suggest_rules: what it reports is what its rules do, on any table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from sklearn_memgen.rules import RuleSet
from sklearn_memgen.rules.mining import suggest_rules

N = 400
HEADER = [
    *("rule", "when", "then", "kind", "support", "precision", "precision_low"),
    *("held_out", "gain", "confidence"),
]


def make_products(n=N, seed=0):
    """Titles that name their class by two words in order, and prices that do so."""
    rng = np.random.default_rng(seed)
    y = rng.choice(["motor oils", "oil motors", "rings"], n)
    filler = rng.choice(["red", "blue", "big", "new", "cheap"], (n, 2))
    words = pd.Series(y).map(
        {"motor oils": "motor {} oil", "oil motors": "oil {} motor", "rings": "gold {}"}
    )
    titles = [
        f"{a} {w.format(b)} {i}"
        for i, (w, (a, b)) in enumerate(zip(words, filler, strict=True))
    ]
    price = np.where(y == "rings", rng.uniform(80, 200, n), rng.uniform(1, 60, n))
    return pd.DataFrame({"title": titles, "price": price}), y


X, Y = make_products()


def suggest(X=X, y=Y, **parameters):
    return suggest_rules(X, y, **{"random_state": 0} | parameters)


def texts(suggestions):
    return suggestions.to_frame()["when"].tolist()


# What is found


def test_words_in_order_and_thresholds():
    frame = suggest().to_frame()
    assert list(frame.columns) == HEADER
    when = frame.groupby("then")["when"].first()
    assert when["motor oils"] == r'title.matches(r"\bmotor\b.*\boil\b", case=False)'
    assert when["oil motors"] == r'title.matches(r"\boil\b.*\bmotor\b", case=False)'
    assert len(frame) == 3 and (frame["precision"] == 1).all()
    assert texts(suggest(columns=["price"], classes=["rings"])) == ["price > 70"]


def test_figures_are_those_of_the_conditions():
    """Support and gain are as `match` finds them, for both kinds of rules."""
    X, y = make_products(600, seed=1)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(600) < 0.04, "rings", y).astype(object)
    noisy[rng.random(600) < 0.1] = None
    predicted = np.where(rng.random(600) < 0.3, np.roll(y, 1), y).astype(object)
    X.loc[rng.random(600) < 0.1, "title"] = None
    X.loc[rng.random(600) < 0.1, "price"] = np.nan
    focus = rng.random(600) < 0.5
    found = suggest(
        X,
        noisy,
        kinds=["assign", "forbid"],
        predicted=predicted,
        focus=focus,
        min_precision=0.8,
    )
    frame = found.to_frame()
    assert set(frame["kind"]) == {"assign", "forbid"}
    matched = pd.DataFrame(found.rules.match(X).toarray(), columns=found.rules.ids)
    labeled = pd.notna(noisy)
    covered = {}
    for row in frame.itertuples():
        rows = matched[row.rule].to_numpy()
        right = labeled & (noisy == row.then)
        relevant, unlabeled = labeled, ~labeled
        if row.kind == "forbid":
            right, own = labeled & (noisy != row.then) & (predicted == row.then), right
            relevant = right | own
            unlabeled = ~labeled & (predicted == row.then)
        assert row.support == (rows & relevant).sum() >= 5
        new = rows & focus & (right | unlabeled)
        new &= ~covered.get((row.kind, row.then), np.zeros(600, dtype=bool))
        assert row.gain == new.sum() > 0
        covered[row.kind, row.then] = new | covered.get((row.kind, row.then), new)
        assert row.held_out <= row.support and 0 <= row.confidence <= 1
        assert np.isnan(row.precision) or row.precision_low < row.precision


def test_forbid():
    """What is never of a class for which it is taken is forbidden, and no more."""
    rng = np.random.default_rng(0)
    predicted = np.where(X["title"].str.contains("cheap"), "rings", Y)
    found = suggest(kinds=["forbid"], predicted=predicted)
    assert set(found.to_frame()["then"]) == {"rings"}
    rows = np.asarray(found.rules.match(X).sum(axis=1)).ravel() > 0
    assert not (Y[rows] == "rings").any()
    assert rows[(predicted == "rings") & (Y != "rings")].mean() > 0.9
    assert all(rule.id.startswith("not-rings-") for rule in found)
    # Where nothing is wrong there is nothing to forbid.
    assert len(suggest(kinds=["forbid"], predicted=Y)) == 0
    declined = pd.Series(predicted).where(rng.random(N) < 0)
    assert len(suggest(kinds=["forbid"], predicted=declined)) == 0


def test_focus():
    """Rules are for the rows in focus, though judged on all, unlabeled ones counted."""
    focus = (Y == "rings") & (np.arange(N) % 4 == 0)
    frame = suggest(focus=focus).to_frame()
    assert set(frame["then"]) == {"rings"} and (frame["support"] > 100).all()
    assert frame["gain"].sum() <= focus.sum()
    y = pd.Series(Y, dtype=object)
    y[focus] = None
    assert set(suggest(y=y, focus=focus).to_frame()["then"]) == {"rings"}
    assert len(suggest(focus=np.zeros(N, dtype=bool))) == 0


def test_classes_columns_and_limits():
    assert set(suggest(classes=["rings"]).to_frame()["then"]) == {"rings"}
    assert all(r.columns == {"price"} for r in suggest(columns=["price"]))
    assert len(suggest(max_length=1, columns=["title"])) == 1
    counts = suggest(max_rules=1).to_frame()["then"].value_counts()
    assert counts.max() == 1
    assert len(suggest(min_support=N)) == 0
    by_value = suggest(X[["price"]].gt(70), columns={"price": "category"})
    assert "price == True" in texts(by_value)


def test_groups():
    """Twins on both sides would make what is learned by heart look good."""
    rng = np.random.default_rng(0)
    keys = np.repeat(np.arange(200), 6)
    titles = pd.Series([f"item k{key} of {n}" for n, key in enumerate(keys)])
    y = np.repeat(rng.choice(list("abcdefghij"), 200), 6)
    X = titles.to_frame("title")
    found = suggest(X, y)
    assert len(found) > 20 and (found.to_frame()["precision"].dropna() == 1).all()
    assert len(suggest(X, y, groups=keys)) == 0


# How good


@pytest.mark.parametrize("n_classes", [2, 10])
def test_random_labels(n_classes):
    """Hardly anything is found where nothing is, and it is not said to be good."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(200)]
    X = pd.DataFrame(
        {
            "title": [" ".join(rng.choice(words, 6)) for _ in range(2000)],
            "number": rng.normal(size=2000),
            "letter": rng.choice(list("abcdefgh"), 2000),
        }
    )
    for bar, most in ((0.92, 0), (0.6, 2)):
        frame = suggest(X, rng.integers(0, n_classes, 2000), min_precision=bar)
        frame = frame.to_frame()
        assert len(frame) <= most
        assert (frame["precision"].fillna(0) < 0.6).all()


def test_reported_precision_is_that_of_new_rows():
    """Words of many true precisions, half of them below the bar; no optimism.

    Where they are mined, rules look better than they are.
    """
    rng = np.random.default_rng(0)
    truth = pd.Series(rng.uniform(0.6, 1, 400), index=[f"w{i}" for i in range(400)])
    word = rng.choice(truth.index, 6000)
    X = pd.DataFrame({"title": [f"thing {w} {i}" for i, w in enumerate(word)]})
    own = np.array([int(w[1:]) % 4 for w in word])
    y = np.where(rng.random(6000) < truth[word], own, (own + 1) % 4)
    reported, true, n = [], [], []
    for seed in range(5):
        found = suggest(X, y, random_state=seed, max_rules=200)
        frame = found.to_frame()
        words = frame["when"].str.extract(r"\\b(w\d+)")[0]
        reported += (frame["precision"] * frame["held_out"]).fillna(0).tolist()
        true += (truth[words].to_numpy() * frame["held_out"]).tolist()
        n += frame["held_out"].tolist()
    assert len(n) > 200
    error = np.sqrt(0.1 / sum(n)) * 3
    assert sum(reported) / sum(n) == pytest.approx(sum(true) / sum(n), abs=error)


# Any table


@pytest.mark.parametrize("dtype", ["object", "string", "string[pyarrow]", "category"])
def test_dtypes_of_text(dtype):
    roles = {"title": "text"}
    frame = X[["title"]].astype(dtype)
    assert texts(suggest(frame, columns=roles)) == texts(suggest(columns=roles))


@pytest.mark.parametrize("dtype", ["float32", "Float64", "double[pyarrow]", "int64"])
def test_dtypes_of_numbers(dtype):
    found = suggest(X[["price"]].round().astype(dtype), classes=["rings"])
    assert texts(found) == ["price > 70"]


def test_labels_of_all_types():
    codes = pd.factorize(Y)[0]
    for y in [codes, codes.astype(float), pd.array(codes, dtype="Int64"), codes == 1]:
        then = suggest(y=y).to_frame()["then"]
        assert len(then) >= 2 and set(map(type, then)) <= {int, bool}
    found = suggest(y=pd.Categorical(Y), X=X.rename(columns={"title": 0, "price": 1}))
    assert len(found) == 3 and found.rules.columns <= {0, 1}


def test_many_small_classes():
    """Hundreds of classes with a few rows each."""
    y = [f"class {i // 5}" for i in range(1500)]
    X = pd.DataFrame({"title": [f"c{i // 5} thing {i}" for i in range(1500)]})
    found = suggest(X, y, min_support=3)
    assert len(found) > 250
    matched = found.rules.match(X).tocoo()
    classes = {id: found.rules[id].then for id in found.rules.ids}
    names = [classes[found.rules.ids[j]] for j in matched.col]
    assert (np.array(y)[matched.row] == names).all()


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": ["x"] * N, "b": 1.0, "c": None}),
        pd.DataFrame({"day": pd.date_range("2024-01-01", periods=N)}),
        pd.DataFrame(index=range(N)),
    ],
    ids=["constant", "dates", "no columns"],
)
def test_nothing_to_say(X):
    found = suggest(X)
    assert len(found) == 0 and list(found.to_frame().columns) == HEADER
    assert repr(found) == "RuleSuggestions: 0 rules for 0 classes"


def test_few_rows_and_one_class():
    for n in (1, 2, 5):
        assert len(suggest(X[:n], Y[:n])) == 0
    assert len(suggest(y=["a"] * N)) == 0


def test_long_texts():
    """A text of 100,000 characters is read as far as its first words."""
    frame = X.assign(title=X["title"] + " x" * 50_000)[:80]
    with pytest.warns(UserWarning, match="40 texts of column 'title'") as warned:
        found = suggest(frame, Y[:80], columns=["title"])
    assert warned[0].filename == __file__
    assert r'title.matches(r"\bgold\b", case=False)' in texts(found)


def test_other_languages():
    words = {
        "motor oils": "Größe Öl",
        "oil motors": "моторное масло",
        "rings": "戒指 金",
    }
    titles = pd.Series(Y).map(words) + pd.Series(range(N)).map(" {}".format)
    found = suggest(titles.to_frame("title"))
    assert len(found) == 3 and (found.to_frame()["precision"] == 1).all()


def test_special_names():
    """Ids are ids, whatever the class is named."""
    names = {"motor oils": "  a/b \n", "oil motors": "!", "rings": "ü" * 100}
    for rule in suggest(y=pd.Series(Y).map(names)):
        assert len(rule.id) < 60 and rule.id == rule.id.strip()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"X": X[:0], "y": []}, "X has no rows"),
        ({"y": [None] * N}, "y has no labels"),
        ({"y": Y[:5]}, "one label a row of X, 400; got 5"),
        ({"X": X.to_numpy()}, "DataFrame; got ndarray"),
        ({"X": X[["price", "price"]]}, "several columns named price"),
        ({"columns": ["size"]}, "no column 'size'"),
        ({"focus": [1] * N}, "focus must be one boolean a row of X, 400"),
        ({"focus": [True]}, "focus must be one boolean a row of X, 400"),
        ({"groups": [None] * N}, "groups must be one value a row of X, 400"),
        ({"classes": ["shoes"]}, "classes: 'shoes' is not among the labels"),
        ({"classes": "rings"}, "classes must be a list"),
        ({"kinds": ["gate"]}, "kinds must be among .*; got 'gate'"),
        ({"kinds": ["forbid"]}, "needs the classes that a model predicted"),
        ({"kinds": ["forbid"], "predicted": ["a"]}, "predicted must have one label"),
        ({"min_support": 0}, "'min_support'"),
        ({"min_precision": 1.5}, "'min_precision'"),
        ({"max_length": 0}, "'max_length'"),
        ({"max_rules": 2.5}, "'max_rules'"),
        ({"random_state": "a"}, "'random_state'"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises((TypeError, ValueError), match=message):
        suggest(**parameters)


# Suggestions


def test_suggestions():
    found = suggest()
    assert [rule.id for rule in found] == found.to_frame()["rule"].tolist()
    assert set(found.rules.ids) == {rule.id for rule in found}
    first = next(iter(found))
    assert first.id.startswith("motor-oils-") and "held out" in first.note
    accepted = found.accept(first.id, first.id)
    assert isinstance(accepted, RuleSet) and accepted.ids == [first.id]
    with pytest.raises(KeyError, match="no rule of id 'rings'"):
        found.accept("rings")
    lines = repr(found).splitlines()
    assert lines[0] == "RuleSuggestions: 3 rules for 3 classes" and len(lines) == 5


def test_ids_are_the_same_in_each_run():
    """So that a rule which was accepted before is recognized, or is edited in files."""
    ids = {rule.id for rule in suggest()}
    assert ids == {rule.id for rule in suggest()}
    again = {rule.id for rule in suggest(X[::-1], Y[::-1], random_state=1)}
    assert len(ids & again) >= 2


def test_rules_are_written_and_read(tmp_path):
    found = suggest(kinds=["assign", "forbid"], predicted=np.roll(Y, 1)).rules
    found.to_csv(tmp_path / "rules.csv")
    assert RuleSet.from_csv(tmp_path / "rules.csv") == found


# Real tables


def _apply(found, X, y):
    """Return the share of rows that rules cover, and that of right votes there."""
    rules = [found.rules[id] for id in found.rules.ids]
    classes = sorted({rule.then for rule in rules})
    votes = found.rules.match(X).astype(int) @ pd.get_dummies(
        pd.Categorical([rule.then for rule in rules], classes)
    ).to_numpy(dtype=int)
    covered = votes.max(axis=1) > 0
    predicted = np.array(classes)[votes.argmax(axis=1)]
    return covered.mean(), (predicted == np.asarray(y))[covered].mean()


def test_pricerunner(offers):
    """Titles of products that were not there when rules were mined."""
    data = offers.rename(columns={"cluster_id": "cluster"})[::4]
    split = GroupShuffleSplit(1, test_size=0.3, random_state=0)
    train, test = (
        data.iloc[rows] for rows in next(split.split(data, None, data["cluster"]))
    )
    found = suggest(
        train[["title"]], train["category"], groups=train["cluster"], max_rules=10
    )
    frame = found.to_frame()
    assert frame["then"].nunique() == 10
    coverage, precision = _apply(found, test[["title"]], test["category"])
    assert coverage > 0.7 and precision > 0.95
    reported = np.average(frame["precision"].fillna(0), weights=frame["held_out"])
    assert abs(reported - precision) < 0.03


def test_adult(data_folder):
    """Thresholds and categories of a table."""
    path = data_folder / "tabular" / "adult.parquet"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    data = pd.read_parquet(path)
    train, test = train_test_split(data, test_size=0.3, random_state=0)
    found = suggest(train.drop(columns="target"), train["target"])
    assert set(found.to_frame()["then"]) == {"<=50K", ">50K"}
    coverage, precision = _apply(found, test.drop(columns="target"), test["target"])
    assert coverage > 0.55 and precision > 0.9
