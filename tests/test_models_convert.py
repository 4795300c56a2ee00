"""A net that somebody brings scores in the bundle as it does in its own library, or is refused."""

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from sklearn.preprocessing import RobustScaler

from models.cli import model
from models.transactions import FEATURES
from stream_scorer.errors import BadInput
from stream_scorer.model import Model

pytestmark = [
    pytest.mark.train,
    # Keras's variables and numpy 2; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

RNG = np.random.default_rng(5)
Matrix = npt.NDArray[np.float64]


def invoke(*arguments: object, **rest: Any) -> Result:
    return CliRunner().invoke(
        model, ["convert", *map(str, arguments)], catch_exceptions=False, **rest
    )


def rows(count: int = 400) -> Matrix:
    """Return raw float64 (count, 30) in the order of FEATURES."""
    found: Matrix = RNG.normal(size=(count, 30))
    found[:, 0] = RNG.integers(0, 172_792, count)
    found[:, -1] = RNG.lognormal(3, 1, count)
    return found


def origins_net(width: int = 30) -> keras.Sequential:
    """Return a net of the origin's shape, with weights that make all features count."""
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.Dense(2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    net.layers[0].set_weights([RNG.normal(size=(width, 2)), RNG.normal(size=2)])
    net.layers[2].set_weights([np.array([[2.0], [-1.5]]), np.array([-1.0])])
    return net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the origin's files: net, scaler that does nothing, training data."""
    origins_net().save(tmp_path / "model.h5")
    amounts = RNG.lognormal(3, 1, (100, 1))
    scaler = RobustScaler().fit(RobustScaler().fit_transform(amounts))
    (tmp_path / "vectorize.pkl").write_bytes(
        pickle.dumps({"robust_scaler": scaler, "time_min": 0.0, "time_max": 172792.0})
    )
    table = pd.DataFrame(rows(), columns=list(FEATURES))
    table["Class"] = np.where(np.arange(len(table)) % 7, '"0"', "1")
    table.to_csv(tmp_path / "creditcard.csv", index=False)
    return tmp_path


def test_the_origins_files_score_as_keras_does_on_scaled_features_in_trained_order(
    folder: Path,
) -> None:
    output = folder / "mine.onnx"
    amount = ("--amount-center", 22, "--amount-scale", 71.565)
    data = ("--features", folder / "creditcard.csv")
    done = invoke(
        folder / "model.h5", "--scaler", folder / "vectorize.pkl", *amount, *data, "-o", output
    )
    assert done.exit_code == 0, done.output
    assert "Warning" in done.stderr
    assert "does nothing to Amount: scaled by 22 and 71.565" in done.stderr

    raw = rows()
    scaled = raw.copy()
    scaled[:, 0] /= 172792
    scaled[:, -1] = (scaled[:, -1] - 22) / 71.565
    wanted = origins_net_of(folder).predict(scaled.astype(np.float32), verbose=0)[:, 0]
    bundle = Model.load(output)
    assert bundle.feature_names == FEATURES
    assert bundle.name == "model"
    np.testing.assert_allclose(bundle.score(raw)[1], wanted, atol=1e-6)
    table = pd.read_csv(folder / "creditcard.csv", dtype={"Class": str})
    genuine = table[table.Class.str.contains("0")][list(FEATURES)]
    np.testing.assert_allclose(bundle.baseline, genuine.quantile(0.5, interpolation="lower"))


def test_a_training_file_gives_the_histograms_that_drift_is_measured_on(folder: Path) -> None:
    output = folder / "mine.onnx"
    data = ("--features", folder / "creditcard.csv")
    assert invoke(folder / "model.h5", "--no-scaling", *data, "-o", output).exit_code == 0
    bundle = Model.load(output)
    assert tuple(bundle.histograms) == FEATURES
    assert bundle.score_histogram is not None
    table = pd.read_csv(folder / "creditcard.csv")[list(FEATURES)].to_numpy()
    counted = bundle.score_histogram.count(bundle.score(table)[0])
    assert counted.tolist() == bundle.score_histogram.counts.tolist()


def test_names_alone_give_no_histograms(folder: Path) -> None:
    output = folder / "mine.onnx"
    names = ("--features", ",".join(FEATURES))
    assert invoke(folder / "model.h5", "--no-scaling", *names, "-o", output).exit_code == 0
    bundle = Model.load(output)
    assert (bundle.histograms, bundle.score_histogram) == ({}, None)


def origins_net_of(folder: Path) -> Any:
    return keras.models.load_model(folder / "model.h5", compile=False)


def test_the_scaler_that_does_nothing_is_refused_and_nothing_is_written(folder: Path) -> None:
    output = folder / "mine.onnx"
    with pytest.raises(BadInput, match=r"--amount-center 22 --amount-scale 71\.565"):
        invoke(
            folder / "model.h5",
            *("--scaler", folder / "vectorize.pkl", "--features", folder / "creditcard.csv"),
            *("-o", output),
        )
    assert not output.exists()


def test_golden_rows_tell_a_wrong_order_and_a_lost_scale(folder: Path) -> None:
    output = folder / "mine.onnx"
    names = ("--features", ",".join(FEATURES))
    assert invoke(folder / "model.h5", "--no-scaling", *names, "-o", output).exit_code == 0
    golden = json.loads(Model.load(output).session.get_modelmeta().custom_metadata_map["golden"])
    features, wanted = np.array(golden["features"]), np.array(golden["probability"])
    assert len(features) >= 32
    assert wanted.max() >= 0.8
    net = origins_net_of(folder)
    app_order = features[:, [*range(1, 30), 0]]
    wrong = net.predict(app_order.astype(np.float32), verbose=0)[:, 0]
    assert np.abs(wrong - wanted).max() > 0.1


def test_the_order_is_asked_for_and_never_assumed(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"model\.h5 does not say what its inputs are"):
        invoke(folder / "model.h5", "--no-scaling")


def functional() -> keras.Model:
    entry = keras.Input((7,))
    one = keras.layers.Dense(16, activation="relu")(entry)
    two = keras.layers.Dense(16, activation="swish")(keras.layers.Dropout(0.5)(one))
    both = keras.layers.LayerNormalization()(keras.layers.Concatenate()([one, two]))
    return keras.Model(entry, keras.layers.Dense(2, activation="softmax")(both))


def logits_only() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="gelu"), keras.layers.Dense(1)]
    )


def normalising() -> keras.Model:
    first = keras.layers.Normalization()
    first.adapt(RNG.normal(5, 3, (100, 3)).astype(np.float32))
    return keras.Sequential([keras.Input((3,)), first, keras.layers.Dense(1, "sigmoid")])


@pytest.mark.parametrize("kind", ["net.keras", "net.h5", "folder"])
@pytest.mark.parametrize(
    ("build", "flags"),
    [(functional, ()), (logits_only, ("--gives", "logit")), (normalising, ())],
)
def test_any_net_of_any_width_in_any_format_scores_as_keras_does(
    tmp_path: Path, kind: str, build: Callable[[], keras.Model], flags: Sequence[str]
) -> None:
    keras.utils.set_random_seed(3)
    net, path, output = build(), tmp_path / kind, tmp_path / "out.onnx"
    net.export(path, verbose=False) if kind == "folder" else net.save(path)
    width = net.input_shape[1]
    names = [f"feature {i}" for i in range(width)]
    done = invoke(path, "--no-scaling", "--features", ",".join(names), *flags, "-o", output)
    assert done.exit_code == 0, done.output
    raw = RNG.normal(size=(200, width))
    wanted = net.predict(raw.astype(np.float32), verbose=0)[:, -1].astype(np.float64)
    if flags:
        wanted = 1 / (1 + np.exp(-wanted))
    bundle = Model.load(output)
    assert bundle.feature_names == tuple(names)
    logit, probability = bundle.score(raw)
    np.testing.assert_allclose(probability, wanted, atol=1e-6)
    np.testing.assert_allclose(logit, np.log(wanted / (1 - wanted)), atol=1e-3)


def test_the_logit_goes_on_where_the_probability_is_1(tmp_path: Path) -> None:
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
    net.layers[0].set_weights([np.array([[1.0]]), np.array([0.0])])
    net.save(tmp_path / "net.keras")
    invoke(tmp_path / "net.keras", "--no-scaling", "--features", "x", "-o", tmp_path / "out.onnx")
    logit, _ = Model.load(tmp_path / "out.onnx").score(np.array([[50.0], [60.0]]))
    assert logit.tolist() == [50.0, 60.0]


def test_scores_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    logits_only().save(tmp_path / "net.keras")
    with pytest.raises(BadInput, match="no probabilities; if they are log-odds, say --gives logit"):
        invoke(tmp_path / "net.keras", "--no-scaling", "--features", "a,b,c,d")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("a,b", "takes 30 features and 2 are named"),
        ("a,,b", "want different names"),
        ("a,a", "want different names"),
        ("nowhere.csv", "nowhere.csv: no such file"),
    ],
)
def test_names_that_do_not_fit_are_refused(folder: Path, features: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        invoke(folder / "model.h5", "--no-scaling", "--features", features)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a,b,a,Class", "the column a more than once"),
        ("a,b,c,Class", "b is text in row 1"),
        ("", "no readable CSV"),
    ],
)
def test_a_training_file_that_is_wrong_is_refused(folder: Path, header: str, message: str) -> None:
    path = folder / "wrong.csv"
    path.write_text(f"{header}\n1,text,2,0\n" if header else "")
    with pytest.raises(BadInput, match=message):
        invoke(folder / "model.h5", "--no-scaling", "--features", path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no net"), "cannot be opened by Keras"),
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "is no SavedModel"),
        (
            lambda path: keras.Sequential(
                [keras.Input((3, 4)), keras.layers.Flatten(), keras.layers.Dense(1)]
            ).save(path),
            r"takes \(None, 3, 4\): want \(rows, features\)",
        ),
        (
            lambda path: keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)]).save(path),
            r"gives \(None, 5\): want \(rows, 1\)",
        ),
        (
            lambda path: keras.Sequential(
                [keras.Input((3,)), keras.layers.Lambda(lambda x: x), keras.layers.Dense(1)]
            ).save(path),
            "cannot be opened by Keras",
        ),
    ],
)
def test_a_file_that_holds_no_net_for_us_is_refused(
    tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "net.keras"
    write(path)
    with pytest.raises(BadInput, match=message):
        invoke(path, "--no-scaling", "--features", "a,b,c")


def classifier(
    nodes: Sequence[onnx.NodeProto] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
    *,
    opset: int = 18,
) -> onnx.ModelProto:
    """Return a linear model of three features: a sigmoid, as an exporter would write it."""
    if weights is None:
        weights = np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)
    usual = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes or usual,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weights, "w")],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.acme", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def convert_onnx(tmp_path: Path, made: onnx.ModelProto) -> Model:
    path, output = tmp_path / "given.onnx", tmp_path / "out.onnx"
    path.write_bytes(made.SerializeToString())
    done = invoke("--onnx", path, "--no-scaling", "--features", "a,b,c", "-o", output)
    assert done.exit_code == 0, done.output
    return Model.load(output)


def test_an_onnx_file_is_wrapped(tmp_path: Path) -> None:
    bundle = convert_onnx(tmp_path, classifier())
    logit, _ = bundle.score(np.array([[3.0, 1.0, 2.0]]))
    assert logit.tolist() == [2.0]
    checked = CliRunner().invoke(model, ["verify", str(tmp_path / "out.onnx")])
    assert checked.exit_code == 0, checked.output


def acme() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Swirl", ["z"], ["y"], domain="com.acme"),
        helper.make_node("Twist", ["y"], ["p"], domain="com.acme"),
    ]


def external() -> onnx.ModelProto:
    made = classifier()
    (weights,) = made.graph.initializer
    onnx.external_data_helper.set_external_data(weights, "elsewhere.bin")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    return made


def one_row() -> onnx.ModelProto:
    made = classifier()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return made


def test_a_net_that_alerts_on_none_of_the_made_up_rows_is_converted_all_the_same(
    tmp_path: Path,
) -> None:
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    net.layers[0].set_weights([np.full((3, 1), 1e-3), np.array([-9.0])])
    net.save(tmp_path / "shy.keras")
    output = tmp_path / "shy.onnx"
    names = ("--features", "a,b,c")
    done = invoke(tmp_path / "shy.keras", "--no-scaling", *names, "-o", output)
    assert done.exit_code == 0, done.output
    assert Model.load(output).score(np.zeros((1, 3)))[0] == pytest.approx([-9.0], abs=1e-4)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: classifier(acme()), r"com.acme.Swirl \(1\), com.acme.Twist \(1\)"),
        (
            lambda: classifier(weights=np.array([[np.nan], [1], [1]], dtype=np.float32)),
            "the weights w hold a value that is not finite",
        ),
        (external, "the weights w are in another file"),
        (one_row, r"the input x is float \(1, 3\): want any number of rows"),
        (lambda: classifier(opset=9), "is of opset 9: want 13 to 23"),
    ],
)
def test_an_onnx_file_that_cannot_be_served_is_refused_by_the_name_of_the_thing(
    tmp_path: Path, made: Callable[[], onnx.ModelProto], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        convert_onnx(tmp_path, made())
    assert not (tmp_path / "out.onnx").exists()


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.onnx"
    path.write_bytes(b"\xff\xff no onnx")
    with pytest.raises(BadInput, match="is no ONNX file"):
        invoke("--onnx", path, "--no-scaling", "--features", "a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a KERAS_FILE or --onnx FILE"),
        (("a.h5",), "say how the features were scaled"),
        (("a.h5", "--no-scaling", "--scaling", "s.toml"), "say how the features were scaled"),
        (("a.h5", "--no-scaling", "--amount-center", "22"), "go together, with --scaler"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(arguments: Sequence[str], message: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_card_says_that_nothing_was_measured(folder: Path) -> None:
    output, card = folder / "mine.onnx", folder / "card.md"
    invoke(folder / "model.h5", "--no-scaling", "--features", ",".join(FEATURES), "-o", output)
    shown = CliRunner().invoke(model, ["inspect", str(output), "--card", str(card)])
    assert shown.exit_code == 0, shown.output
    assert "Converted from `model.h5`" in card.read_text()
    text = CliRunner().invoke(model, ["inspect", str(output), "--json"]).stdout
    assert json.loads(text)["feature_names"] == list(FEATURES)
