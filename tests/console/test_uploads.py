"""Files in, results out: the stream's own scores, the owner's alone, harmless in a spreadsheet."""

import csv
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from stream_scorer.cli import cli
from stream_scorer.config import Settings
from stream_scorer.console import exports, lease, schema, uploads
from stream_scorer.console.database import Database
from stream_scorer.console.folders import own_folder
from stream_scorer.console.jobs import Jobs
from stream_scorer.console.people import Role
from stream_scorer.console.upload_routes import LARGEST, shown
from stream_scorer.console.uploads import ScoredRow
from tests.console.conftest import Milliseconds
from tests.console.running import Console, running
from tests.console.test_flow import ANA
from tests.test_cli import DATA

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("uploads")
    with running(folder, f"sqlite:///{folder}/console.db") as each:
        for name in ("ana", "ben"):
            each.add(name, Role.ANALYST)
        each.add("eve", Role.VIEWER)
        yield each


def send(console: Console, client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    with console.database.reading() as connection:
        tokens = list(connection.scalars(select(schema.session.c.form_token)))
    for token in tokens:  # one of them is this session's
        answer = client.post(
            "/upload/file", data={"form_token": token}, files={"file": (name, content)}
        )
        if "another page" not in answer.text:
            return answer
    return answer


def scored(console: Console, client: httpx.Client, name: str, content: bytes) -> Any:
    """Upload a file; return its row once nothing more is done to it."""
    answer = send(console, client, name, content)
    assert answer.status_code == 303, answer.text
    upload_id = answer.headers["location"].partition("open=")[2]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with console.database.reading() as connection:
            row = connection.execute(
                select(schema.upload).where(schema.upload.c.id == upload_id)
            ).one()
        if row.state not in uploads.RUNNING:
            return row
        time.sleep(0.1)
    raise AssertionError(row)


def head(rows: int) -> bytes:
    with Path(DATA).open("rb") as file:
        return b"".join(line for line, _ in zip(file, range(rows + 1), strict=False))


def test_uploaded_file_has_the_scores_of_the_command(console: Console, tmp_path: Path) -> None:
    ana = console.signed_in("ana")
    found = scored(console, ana, "some.csv", head(400))
    assert (found.state, found.owner) == ("done", "ana")
    answer = ana.get(f"/upload/{found.id}.csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    (tmp_path / "some.csv").write_bytes(head(400))
    done = CliRunner().invoke(
        cli, ["score", str(tmp_path / "some.csv"), "-o", str(tmp_path / "out.csv")]
    )
    assert done.exit_code == 0, done.output
    with (tmp_path / "out.csv").open(newline="") as file:
        wanted = list(csv.reader(file))
    assert [r[:4] for r in rows] == [r[:4] for r in wanted]


def test_workbook_holds_every_row(console: Console) -> None:
    ana = console.signed_in("ana")
    found = scored(console, ana, "some.csv", head(300))
    book = openpyxl.load_workbook(io.BytesIO(ana.get(f"/upload/{found.id}.xlsx").content))
    assert sum(1 for _ in book.active.rows) == 301


def test_another_person_gets_neither_rows_nor_knowledge_of_them(console: Console) -> None:
    found = scored(console, console.signed_in("ana"), "some.csv", head(10))
    ben, eve = console.signed_in("ben"), console.signed_in("eve")
    for suffix in ("csv", "xlsx"):
        assert ben.get(f"/upload/{found.id}.{suffix}").status_code == 404
        assert eve.get(f"/upload/{found.id}.{suffix}").status_code == 403


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty.csv"),
        ("lacks.csv", b"Time,V1\n0,1\n", "lacks.csv lacks V2"),
        ("text.csv", b"\x00\x01\x02" * 100, "text.csv"),
        ("not.xlsx", b"PK\x03\x04 nothing", "not.xlsx"),
        ("not.parquet", b"PAR1", "not.parquet"),
        ("wide.csv", b",".join(b"c%d" % n for n in range(3000)) + b"\n", "has 3000 columns"),
    ],
)
def test_file_that_cannot_be_scored_says_why_in_one_line(
    console: Console, name: str, content: bytes, says: str
) -> None:
    found = scored(console, console.signed_in("ana"), name, content)
    assert found.state == "failed"
    assert says in found.problem
    assert "\n" not in found.problem
    assert "console-uploads" not in found.problem


def test_sheet_that_unpacks_to_gigabytes_is_refused_before_it_does(console: Console) -> None:
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as sheet,
        sheet.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as inner,
    ):
        for _ in range(1100):
            inner.write(bytes(1_000_000))
    found = scored(console, console.signed_in("ana"), "bomb.xlsx", bomb.getvalue())
    assert "unpacks to 1.1 GB" in found.problem


@pytest.mark.parametrize("name", ["evil.exe", "evil", "evil.csv.exe"])
def test_other_kinds_of_file_are_refused(console: Console, name: str) -> None:
    answer = send(console, console.signed_in("ana"), name, b"x")
    assert answer.status_code == 400
    assert "want a file that ends in" in answer.text


def test_too_large_a_file_is_refused_while_it_arrives(console: Console) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(LARGEST // 1_000_000 + 2):
            yield bytes(1_000_000)

    ana = console.signed_in("ana")
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        answer = ana.post("/upload/file", content=endless(), headers=kind, timeout=60)
    except httpx.WriteError:
        return  # the console has closed the connection
    assert answer.status_code == 413


def test_form_without_the_sessions_token_is_refused(console: Console) -> None:
    ana = console.signed_in("ana")
    answer = ana.post("/upload/file", data={"form_token": "x"}, files={"file": ("a.csv", b"x")})
    assert (answer.status_code, answer.text) == (400, "another page's form")


def test_viewer_uploads_nothing(console: Console) -> None:
    answer = console.signed_in("eve").post("/upload/file", files={"file": ("a.csv", b"x")})
    assert answer.status_code == 403


def test_file_is_gone_once_it_is_scored(console: Console) -> None:
    scored(console, console.signed_in("ana"), "some.csv", head(10))
    folder = console.folder / "console-uploads"
    assert [each for each in folder.rglob("*") if each.is_file()] == []
    assert folder.stat().st_mode & 0o077 == 0


def test_start_deletes_what_ended_runs_have_left_and_nothing_of_one_that_goes_on(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "uploads"
    (folder / "run-killed").mkdir(parents=True)
    (folder / "run-killed" / "a.csv").write_text("1")
    with own_folder(folder) as one:
        (one / "b.csv").write_text("2")
        with own_folder(folder) as other:
            assert sorted(folder.iterdir()) == sorted([one, other])
            assert (one / "b.csv").exists()
            assert other.stat().st_mode & 0o077 == 0
    assert list(folder.iterdir()) == []


def test_upload_is_given_up_only_once_its_console_gives_no_sign_of_life(
    database: Database, clock: Milliseconds, tmp_path: Path
) -> None:
    first, second = (Jobs(Settings(), database, clock, tmp_path) for _ in range(2))
    for jobs in (first, second):
        with database.writing() as connection:
            uploads.begin(
                connection,
                ANA,
                upload_id=jobs.holder[-32:],
                name="a.csv",
                size=1,
                holder=jobs.holder,
                now=clock(),
            )

    def states() -> list[str]:
        with database.reading() as connection:
            found = {each.id: each.state for each in uploads.of_owner(connection, ANA)}
        return [found[jobs.holder[-32:]] for jobs in (first, second)]

    clock.now += lease.LEASE_MS - 1
    second.live()
    assert states() == ["waiting", "waiting"]
    clock.now += 1
    second.live()
    assert states() == ["failed", "waiting"]


@pytest.mark.parametrize("name", ["../../etc/x.csv", "..\\..\\x.csv", "/x.csv", "a/b/x.csv"])
def test_name_of_a_file_never_leads_anywhere(name: str) -> None:
    assert shown(name) == "x.csv"


def test_name_that_would_steer_a_terminal_is_made_harmless() -> None:
    assert shown("a\x1b[2Jb.csv") == "a_[2Jb.csv"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1"])
def test_no_cell_of_an_export_is_a_formula(text: str, tmp_path: Path) -> None:
    row = ScoredRow(2, text, 0.5, "fraud", text)
    (line,) = list(csv.reader(io.StringIO(b"".join(exports.as_csv([row])).decode())))[1:]
    assert (line[1], line[4]) == (f"'{text}", f"'{text}")
    exports.write_xlsx([row], tmp_path / "x.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").active
    assert (sheet["B2"].data_type, sheet["C2"].value) == ("s", 0.5)


def test_rows_come_by_risk_page_by_page(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(
            schema.upload.insert().values(
                id="u",
                owner="ana",
                name="a",
                state="done",
                problem="",
                progress=1.0,
                summary="",
                holder="",
                created_at=0,
            )
        )
        rows = [ScoredRow(n, f"t{n}", (n * 37 % 100) / 100, "genuine", "") for n in range(120)]
        rows += [ScoredRow(500 + n, "", None, "not scored", "SCHEMA: x") for n in range(3)]
        uploads.store(connection, "u", rows)
        seen: list[ScoredRow] = []
        after = None
        while page := uploads.page(connection, "u", decision="all", after=after):
            seen += page
            after = (page[-1].probability or 0.0, page[-1].line)
        bad = uploads.page(connection, "u", decision="not scored", after=None)
        everything = list(uploads.every_row(connection, "u"))
    wanted = sorted(rows[:120], key=lambda row: (row.probability or 0.0, row.line), reverse=True)
    assert seen == wanted
    assert [row.line for row in bad] == [500, 501, 502]
    assert len(everything) == 123
