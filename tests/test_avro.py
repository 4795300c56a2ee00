"""Avro by a schema registry: features by name and writer's schema, fast or slow, alike."""

import io
import json
import struct
import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka.schema_registry import SchemaRegistryError
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from producer.avro import AvroEncoder
from stream_scorer.codecs.alerts import ALERT as AVRO_ALERT
from stream_scorer.codecs.alerts import EARLIER, as_json, parsed, to_avro
from stream_scorer.codecs.avro import AvroDecoder, Layout, understand, write_record
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.errors import BadInput, RegistryTrouble
from stream_scorer.events import Event
from stream_scorer.model import Model
from stream_scorer.records import Reject
from stream_scorer.registry import UNKNOWN_S, Registry
from stream_scorer.scorer import Scorer
from tests.fakes import Clock
from tests.records import event, record

NAMES = ("Time", "V1", "Amount")
DOUBLES = [{"name": name, "type": "double"} for name in NAMES]
ID = {"name": "transaction_id", "type": "string"}
MERCHANT = {"name": "merchant", "type": ["null", "string"]}
# Ways to write the same event; `True`: numpy reads it without a loop.
SHAPES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "doubles": (DOUBLES, True),
    "id last": ([*DOUBLES, ID], True),
    "id first": ([ID, *DOUBLES], True),
    "id amid": ([DOUBLES[0], ID, *DOUBLES[1:]], True),
    "another order": ([*DOUBLES[::-1], ID], True),
    "others between": (
        [
            {"name": "flag", "type": "boolean"},
            DOUBLES[0],
            {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 3}},
            *DOUBLES[1:],
            ID,
        ],
        True,
    ),
    "a long": ([*DOUBLES[:2], {"name": "Amount", "type": "long"}, ID], False),
    "may be null": ([*DOUBLES[:2], {"name": "Amount", "type": ["null", "double"]}, ID], False),
    "two texts": ([*DOUBLES, ID, MERCHANT], False),
    "a time": (
        [
            {"name": "Time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            *DOUBLES[1:],
        ],
        False,
    ),
}
OTHERS = {"transaction_id": "t-1", "merchant": "M", "flag": True, "code": b"abc"}


def schema_of(fields: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"type": "record", "name": "Transaction", "fields": list(fields)})


def write(fields: Sequence[Mapping[str, Any]], schema_id: int = 7, **values: Any) -> bytes:
    """Return a record in the wire format."""
    stream = io.BytesIO()
    stream.write(struct.pack(">bi", 0, schema_id))
    names = [field["name"] for field in fields]
    record = {name: values.get(name, OTHERS.get(name)) for name in names}
    schemaless_writer(stream, parse_schema(json.loads(schema_of(fields))), record)
    return stream.getvalue()


def decoder(schemas: Mapping[int, str]) -> AvroDecoder:
    def find(schema_id: int) -> Sequence[str] | Reject:
        text = schemas.get(schema_id)
        return Reject("SCHEMA", "unknown") if text is None else [text]

    return AvroDecoder(NAMES, find)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3, st.text(max_size=80)), max_size=8))
def test_every_way_to_write_an_event_gives_the_same_row(
    shape: str, rows: list[tuple[int, int, int, str]]
) -> None:
    fields, _ = SHAPES[shape]
    values = [
        write(fields, Time=time, V1=v1 / 8, Amount=amount, transaction_id=name)
        for time, v1, amount, name in rows
    ]
    decode = decoder({7: schema_of(fields)})
    matrix, kept, rejects = decode(values)
    assert matrix.tolist() == [[time, v1 / 8, amount] for time, v1, amount, _ in rows]
    assert (kept, rejects) == (list(range(len(rows))), {})
    if any(field["name"] == "transaction_id" for field in fields):
        ids = [decode.transaction_id(value) for value in values]
        assert ids == [name or None for *_, name in rows]


@pytest.mark.parametrize("shape", SHAPES)
def test_layout_is_fixed_where_it_can_be(shape: str) -> None:
    fields, fixed = SHAPES[shape]
    layout = understand([schema_of(fields)], NAMES, 7)
    assert isinstance(layout, Layout)
    assert (layout.fixed is not None) == fixed


def test_one_batch_may_hold_records_of_several_schemas_and_bad_ones() -> None:
    shapes = [SHAPES[name][0] for name in ("doubles", "id first", "may be null")]
    decode = decoder({n: schema_of(fields) for n, fields in enumerate(shapes)})
    good = [write(fields, n, Time=n, V1=n, Amount=n) for n, fields in enumerate(shapes)]
    values = [
        good[0],
        None,
        good[1],
        b"",
        good[2],
        b"{}",
        b"\0\0",
        good[0][:-1],
        good[1] + b"x",
        write(shapes[2], 2, Time=1, V1=1, Amount=None),
        b"\0\0\0\0\x63" + good[0][5:],
    ]
    matrix, kept, rejects = decode(values)
    assert matrix.tolist() == [[n] * 3 for n in range(3)]
    assert kept == [0, 2, 4]
    assert {i: reject.code for i, reject in rejects.items()} == {
        1: "TOMBSTONE",
        3: "DECODE",
        5: "SCHEMA",
        6: "DECODE",
        7: "DECODE",
        8: "DECODE",
        9: "TYPE",
        10: "SCHEMA",
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (DOUBLES[:2], "MISSING"),
        ([*DOUBLES[:2], {"name": "Amount", "type": "string"}], "TYPE"),
        ([*DOUBLES[:2], {"name": "Amount", "type": ["null", "boolean"]}], "TYPE"),
        (
            [
                *DOUBLES[:2],
                {
                    "name": "Amount",
                    "type": {"type": "bytes", "logicalType": "decimal", "precision": 9},
                },
            ],
            "TYPE",
        ),
    ],
)
def test_schema_that_has_no_number_for_a_feature_rejects_all_its_records(
    fields: list[dict[str, Any]], code: str
) -> None:
    value = b"\0\0\0\0\7" + bytes(24)
    _, kept, rejects = decoder({7: schema_of(fields)})([value, value])
    assert (kept, [each.code for each in rejects.values()]) == ([], [code, code])


@pytest.mark.parametrize("text", ["{", "[]", '"double"', '{"type": "record"}', "null", "7"])
def test_schema_that_is_none_rejects_all_its_records(text: str) -> None:
    _, kept, rejects = decoder({7: text})([b"\0\0\0\0\7" + bytes(24)])
    assert (kept, rejects[0].code) == ([], "SCHEMA")


@given(st.sampled_from(sorted(SHAPES)), st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_are_more_than_a_reject(shape: str, tails: list[bytes]) -> None:
    decode = decoder({7: schema_of(SHAPES[shape][0])})
    values = [b"\0\0\0\0\7" + tail for tail in tails]
    matrix, kept, rejects = decode(values)
    assert sorted([*kept, *rejects]) == list(range(len(values)))
    assert matrix.shape == (len(kept), 3)
    for value in values:
        decode.transaction_id(value)


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "x", "type": "null"}]}
LIST = {"type": "array", "items": ["null", {"type": "map", "values": "long"}]}


def record_of(name: str, *kinds: Any) -> dict[str, Any]:
    """Return a record type with fields of these types."""
    fields = [{"name": f"f{i}", "type": kind} for i, kind in enumerate(kinds)]
    return {"type": "record", "name": name, "fields": fields}


def nested(depth: int, leaf: Any) -> Any:
    """Return a record of two fields of a record of two fields ...: small, with 2^depth leaves."""
    below: Any = {"type": "record", "name": "R0", "fields": [{"name": "a", "type": leaf}]}
    for level in range(1, depth):
        name = f"R{level}"
        fields: Any = [{"name": "a", "type": below}, {"name": "b", "type": f"R{level - 1}"}]
        below = {"type": "record", "name": name, "fields": fields}
    return below


HOLLOW = record_of("Hollow", "boolean", *(["null"] * 8))
USUAL = record_of("Usual", "double", "string", ["null", record_of("Inner", "long", "boolean")])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (NODE, "SCHEMA"),
        ({"type": "array", "items": NODE}, "SCHEMA"),
        ({"type": "array", "items": "null"}, "SCHEMA"),
        ({"type": "map", "values": {"type": "array", "items": EMPTY}}, "SCHEMA"),
        ("Transaction", "SCHEMA"),
        (LIST, "LIMIT"),
    ],
    ids=repr,
)
def test_schema_whose_records_may_have_no_end_is_refused(kind: Any, code: str) -> None:
    fields = [*DOUBLES, {"name": "other", "type": kind}]
    value = b"\0\0\0\0\7" + bytes(24) + b"\2" * 100_000
    _, _, rejects = decoder({7: schema_of(fields)})([value])
    assert rejects[0].code == code


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": HOLLOW},
        {"type": "map", "values": HOLLOW},
        {"type": "array", "items": ["null", HOLLOW]},
        {"type": "array", "items": record_of("Deep", "boolean", nested(11, "null"))},
    ],
    ids=["array", "map", "union", "nested"],
)
def test_what_could_hold_too_many_values_for_its_bytes_is_not_read(kind: Any) -> None:
    decode = decoder({7: schema_of([*DOUBLES, {"name": "other", "type": kind}])})
    _, _, rejects = decode([b"\0\0\0\0\7" + bytes(24) + b"\2" * 100_000])
    assert rejects[0].code == "LIMIT"


def test_usual_lists_are_read() -> None:
    basket: Any = {"name": "basket", "type": {"type": "array", "items": USUAL}}
    fields = [*DOUBLES, basket]
    item = {"f0": 1.5, "f1": "book", "f2": {"f0": 7, "f1": True}}
    value = write(fields, Time=1, V1=1, Amount=1.0, basket=[item] * 5000)
    assert decoder({7: schema_of(fields)})([value])[1] == [0]


def test_schema_may_refer_to_others() -> None:
    money = {"type": "record", "name": "bank.Money", "fields": [{"name": "x", "type": "double"}]}
    fields = [*DOUBLES, {"name": "fee", "type": "bank.Money"}]
    decode = AvroDecoder(NAMES, lambda _: [json.dumps(money), schema_of(fields)])
    matrix, _, rejects = decode([b"\0\0\0\0\7" + struct.pack("<4d", 1, 2, 3, 4)])
    assert (matrix.tolist(), rejects) == ([[1, 2, 3]], {})


class Asked:
    """A registry's client: schemas by id, what goes wrong, and how often it was asked."""

    def __init__(self, schemas: Mapping[int, Any], wrong: Exception | None = None) -> None:
        self.schemas = dict(schemas)
        self.wrong = wrong
        self.asked = 0
        self.versions = 0  # how often one of those was asked for

    def get_schema(self, schema_id: int) -> Any:
        self.asked += 1
        if self.wrong:
            raise self.wrong
        if schema_id not in self.schemas:
            raise SchemaRegistryError(404, 40403, "Schema not found")
        return self.schemas[schema_id]

    def get_version(self, subject_name: str, version: int) -> Any:
        self.versions += 1
        if version not in self.schemas:
            raise SchemaRegistryError(404, 40402, "Version not found")
        return SimpleNamespace(schema=self.schemas[version])

    def close(self) -> None:
        self.schemas = {}

    def register_schema(self, subject_name: str, schema: Any) -> int:
        raise SchemaRegistryError(409, 409, "Schema being registered is incompatible")


def known(text: str, kind: str = "AVRO", references: Sequence[Any] = ()) -> Any:
    return SimpleNamespace(schema_str=text, schema_type=kind, references=references)


def test_registry_gives_a_schema_behind_those_that_it_refers_to() -> None:
    refers = [SimpleNamespace(subject="money", version=2)]
    asked = Asked({1: known("outer", references=refers), 2: known("inner")})
    assert Registry("http://r", asked).schema(1) == ["inner", "outer"]


def test_schema_that_many_refer_to_is_asked_for_once() -> None:
    def refers(*versions: int) -> list[Any]:
        return [SimpleNamespace(subject="s", version=each) for each in versions]

    schemas = {n: known(f"s{n}", references=refers(n + 1, n + 1)) for n in range(1, 18)}
    asked = Asked({**schemas, 18: known("s18")})
    assert Registry("http://r", asked).schema(1) == [f"s{n}" for n in range(18, 0, -1)]
    assert asked.versions == 17


def test_schema_that_refers_to_itself_has_no_end() -> None:
    refers = [SimpleNamespace(subject="s", version=1)]
    found = Registry("http://r", Asked({1: known("s", references=refers)})).schema(1)
    assert found == Reject("SCHEMA", "schema 1 refers to one that the registry lacks")


@pytest.mark.parametrize("text", [None, ""])
def test_answer_without_a_schema_is_the_registrys_trouble(text: Any) -> None:
    with pytest.raises(RegistryTrouble, match="answers without a schema"):
        Registry("http://r", Asked({1: known(text)})).schema(1)


def test_id_below_nought_is_no_question_for_the_registry() -> None:
    _, _, rejects = decoder({})([b"\0\xff\xff\xff\xff"])
    assert rejects == {0: Reject("SCHEMA", "its schema's id is -1")}


def test_id_that_is_unknown_is_a_reject_and_is_asked_for_again_before_long() -> None:
    asked, clock = Asked({}), Clock()
    registry = Registry("http://r", asked, clock)
    for _ in range(3):
        assert registry.schema(5) == Reject("SCHEMA", "the registry knows no schema 5")
    assert asked.asked == 1
    clock.now += UNKNOWN_S
    registry.schema(5)
    assert asked.asked == 2


@pytest.mark.parametrize("kind", ["JSON", "PROTOBUF"])
def test_other_kinds_of_schema_are_refused_by_their_name(kind: str) -> None:
    found = Registry("http://r", Asked({3: known("{}", kind)})).schema(3)
    assert found == Reject("SCHEMA", f"schema 3 is {kind}: want AVRO")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (ConnectionError("no route"), "does not answer: ConnectionError"),
        (
            SchemaRegistryError(401, 401, "Unauthorized\nsecret"),
            r"refuses: Unauthorized \(status 401",
        ),
        (SchemaRegistryError(500, 50001, "store"), "status 500"),
        (SchemaRegistryError(404, -1, "<html>nothing here</html>"), "refuses: .* \\(status 404"),
    ],
)
def test_registry_that_gives_no_answer_stops_the_process_and_no_record_is_blamed(
    wrong: Exception, says: str
) -> None:
    clock = Clock()
    registry = Registry("http://r", Asked({}, wrong), clock, clock.wait)
    with pytest.raises(RegistryTrouble, match=says):
        AvroDecoder(NAMES, registry.schema)([b"\0\0\0\0\7"])


def test_registry_that_is_away_for_a_moment_is_asked_again() -> None:
    clock, asked = Clock(), Asked({1: known("{}")}, ConnectionError("no route"))

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        asked.wrong = None

    assert Registry("http://r", asked, clock, wait).schema(1) == ["{}"]
    assert asked.asked == 2


def test_schema_whose_reference_is_lacking_is_asked_for_again() -> None:
    clock = Clock()
    refers = [SimpleNamespace(subject="money", version=2)]
    asked = Asked({1: known("outer", references=refers)})
    registry = Registry("http://r", asked, clock)
    found = registry.schema(1)
    assert found == Reject("SCHEMA", "schema 1 refers to one that the registry lacks")
    asked.schemas[2] = known("inner")
    clock.now += UNKNOWN_S
    assert registry.schema(1) == ["inner", "outer"]


def test_many_unknown_ids_in_a_batch_are_asked_for_side_by_side() -> None:
    together, asked = threading.Barrier(4, timeout=20), set[int]()

    def find(schema_id: int) -> Reject:
        if schema_id not in asked:  # the registry remembers what it did not know
            asked.add(schema_id)
            together.wait()
        return Reject("SCHEMA", f"unknown {schema_id}")

    values = [b"\0" + schema_id.to_bytes(4, "big") for schema_id in range(4)]
    _, kept, rejects = AvroDecoder(NAMES, find)(values)
    assert (kept, len(rejects)) == ([], 4)


@pytest.mark.parametrize("leaf", ["null", "int", {"type": "array", "items": "int"}], ids=repr)
def test_schema_that_unfolds_without_bounds_is_refused_at_once(leaf: Any) -> None:
    fields = [*DOUBLES, {"name": "tree", "type": nested(40, leaf)}]
    _, _, rejects = decoder({7: schema_of(fields)})([b"\0\0\0\0\7" + bytes(24)])
    assert rejects[0].reason == "schema 7 lets a record hold values without end"
    fields = [*DOUBLES, {"name": "tree", "type": nested(5, "null")}]
    _, kept, _ = decoder({7: schema_of(fields)})([b"\0\0\0\0\7" + bytes(24)])
    assert kept == [0]


def test_reject_says_the_same_of_the_same_bytes() -> None:
    fields = SHAPES["may be null"][0]
    decode = decoder({7: schema_of(fields)})
    good = write(fields, Time=1, V1=1, Amount=1.0)
    _, _, rejects = decode([good[:-3], good + b"x"])
    assert [each.reason for each in rejects.values()] == [
        "not a record of its schema: cut short",
        "not a record of its schema: bytes stand behind it",
    ]


def test_first_row_of_a_replay_must_say_what_each_column_is() -> None:
    encode = AvroEncoder(Registry("http://r", Asked({})), "in")
    with pytest.raises(BadInput, match="V1 is empty in the first row"):
        encode(Event("t1", b'{"V1": null, "transaction_id": "t1"}', None))


def test_schema_that_a_subject_does_not_take_is_told() -> None:
    with pytest.raises(RegistryTrouble, match="incompatible"):
        Registry("http://r", Asked({})).register("alerts-value", "{}")


def test_rows_are_float64_and_their_own() -> None:
    value = write(DOUBLES, Time=1, V1=2, Amount=3)
    matrix, _, _ = decoder({7: schema_of(DOUBLES)})([value])
    assert matrix.dtype == np.float64
    assert matrix.flags.writeable


TEXT = st.text(max_size=20)
REAL = st.floats(allow_nan=False, allow_infinity=False)
LONG = st.integers(-(2**63), 2**63 - 1)
REASON = st.fixed_dictionaries(
    {"feature": TEXT, "value": REAL, "baseline": REAL, "effect": REAL, "text": TEXT}
)
ALERT = st.fixed_dictionaries(
    {
        "schema_version": st.integers(0, 9),
        "alert_id": TEXT,
        "transaction_id": TEXT,
        "decision": TEXT,
        "probability": REAL,
        "logit": REAL,
        "threshold": REAL,
        "model": st.fixed_dictionaries({"name": TEXT, "version": TEXT, "sha256": TEXT}),
        "reasons": st.lists(REASON, max_size=3),
        "source": st.fixed_dictionaries(
            {
                "topic": TEXT,
                "partition": st.integers(0, 2**31 - 1),
                "offset": LONG,
                "timestamp_ms": LONG,
            }
        ),
        "features": st.dictionaries(TEXT, REAL, max_size=5),
    },
    optional={"unexplained": st.lists(TEXT, min_size=1, max_size=3)},
)


@given(ALERT)
def test_alert_in_avro_is_the_same_json_again_byte_for_byte(alert: dict[str, Any]) -> None:
    value = msgspec.json.encode(in_order(alert, json.loads(AVRO_ALERT)))
    assert as_json(to_avro(value, schema_id=9)) == value


def in_order(value: Any, schema: Any) -> Any:
    """Return a value whose fields stand as in its schema, as the scorer writes them."""
    if schema == "double" or not isinstance(schema, dict) or schema["type"] == "map":
        return value
    if schema["type"] == "array":
        return [in_order(each, schema["items"]) for each in value]
    there = [field for field in schema["fields"] if field["name"] in value]
    return {field["name"]: in_order(value[field["name"]], field["type"]) for field in there}


@given(ALERT)
def test_alert_of_an_earlier_release_is_still_read(alert: dict[str, Any]) -> None:
    alert.pop("unexplained", None)
    value = msgspec.json.encode(in_order(alert, json.loads(EARLIER)))
    written = write_record(9, parsed(EARLIER), msgspec.json.decode(value))
    assert as_json(written) == value


def test_alert_of_the_scorer_itself_goes_into_the_schema(tiny: Model) -> None:
    scorer = Scorer(tiny, JsonDecoder(tiny.feature_names), 0.0, "c")
    (alert,) = scorer([record(0, event())]).alerts
    assert as_json(to_avro(alert.value, schema_id=1)) == alert.value


@given(st.binary(max_size=60).filter(lambda value: len(value) < 40))
def test_what_is_no_alert_stays_as_it_is(value: bytes) -> None:
    assert as_json(value) == value


def test_replay_says_which_cell_is_no_number_of_the_schema() -> None:
    registered: list[str] = []

    class Takes(Asked):
        def register_schema(self, subject_name: str, schema: Any) -> int:
            registered.append(subject_name)
            return 4

    encode = AvroEncoder(Registry("http://r", Takes({})), "in")
    first = encode(
        Event("t1", b'{"V1": 1, "Amount": 2.5, "shop": "A", "transaction_id": "t1"}', None)
    )
    assert isinstance(first, bytes)
    assert first[:5] == b"\0\0\0\0\4"
    assert struct.unpack("<2d", first[5:21]) == (1.0, 2.5)
    empty = encode(
        Event("t2", b'{"V1": null, "Amount": 2, "shop": null, "transaction_id": "t2"}', None)
    )
    assert empty == "V1 is None: want a number, as in the first row"
    long = encode(
        Event("t3", b'{"V1": 9007199254740993, "Amount": 2, "transaction_id": "t3"}', None)
    )
    assert long == "V1 is 9007199254740993: a double has not so many digits"
    assert registered == ["in-value"]


def test_replay_writes_a_long_number_of_the_first_row_as_text() -> None:
    class Takes(Asked):
        def register_schema(self, subject_name: str, schema: Any) -> int:
            return 4

    encode = AvroEncoder(Registry("http://r", Takes({})), "in")
    value = encode(
        Event("t1", b'{"account": 9007199254740993, "V1": 1, "transaction_id": "t1"}', None)
    )
    assert isinstance(value, bytes)
    assert value.endswith(b"\x209007199254740993")
