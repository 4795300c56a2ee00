"""Files in and out: plain routes, as a page's socket is no way for 200 MB."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from stream_scorer.console import exports, uploads
from stream_scorer.console.database import Database
from stream_scorer.console.guard import PERSON
from stream_scorer.console.jobs import Jobs
from stream_scorer.console.people import Person
from stream_scorer.console.uploads import Upload
from stream_scorer.errors import BadInput
from stream_scorer.tables import READERS

# Bytes of a file, and of the form around it.
LARGEST, AROUND = 200_000_000, 20_000
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TOO_LARGE = f"want a file of at most {LARGEST // 10**6} MB"


class TooLargeError(Exception):
    """More has arrived than a file may have."""


class Intake:
    """Takes files in; the guard has looked at session and role before."""

    def __init__(self, database: Database, jobs: Jobs, clock: Callable[[], int]) -> None:
        """Keep files in the folder of `jobs` until it has scored them."""
        self._database = database
        self._jobs = jobs
        self._clock = clock

    async def receive(self, request: Request) -> Response:
        """Answer the form of the page."""
        person: Person = getattr(request.state, PERSON)
        try:
            upload_id = await self._take(request, person)
        except ClientDisconnect:  # who sends it twice, or leaves: nobody hears the answer
            return PlainTextResponse("the file did not arrive", 400)
        except TooLargeError:
            return PlainTextResponse(TOO_LARGE, 413)
        except (BadInput, MultiPartException) as exc:
            return PlainTextResponse(str(exc), 400)
        return RedirectResponse(f"/upload?open={upload_id}", 303)

    async def _take(self, request: Request, person: Person) -> str:
        """Keep the file of a form and put it before the jobs; return the upload's id."""
        if int(request.headers.get("content-length") or 0) > LARGEST + AROUND:
            raise TooLargeError
        arriving = counted(request.stream())
        parser = MultiPartParser(request.headers, arriving, max_files=1, max_fields=1)
        form = await parser.parse()
        try:
            file = form.get("file")
            if form.get("form_token") != person.form_token:
                raise BadInput("another page's form")
            if not isinstance(file, UploadFile) or not file.filename:
                raise BadInput("choose a file first")
            name = shown(file.filename)
            suffix = Path(name).suffix.lower()
            if suffix not in READERS:
                raise BadInput(f"{name}: want a file that ends in {', '.join(READERS)}")
            upload_id = secrets.token_hex(16)
            path = self._jobs.folder / f"{upload_id}{suffix}"
            size = await asyncio.to_thread(keep, file, path)
        finally:
            await form.close()
        await asyncio.to_thread(self._begin, person, upload_id, name, size)
        self._jobs.add(upload_id, path, name)
        return upload_id

    def _begin(self, person: Person, upload_id: str, name: str, size: int) -> None:
        with self._database.writing() as connection:
            uploads.begin(
                connection,
                person,
                upload_id=upload_id,
                name=name,
                size=size,
                holder=self._jobs.holder,
                now=self._clock(),
            )


def routes(database: Database, jobs: Jobs, clock: Callable[[], int]) -> APIRouter:
    """Return the routes for files in and out."""
    router = APIRouter(include_in_schema=False)
    router.post("/upload/file")(Intake(database, jobs, clock).receive)

    def finished(request: Request, upload_id: str) -> Upload:
        """Return the person's own upload if it is done; raise HTTPException if there is none."""
        with database.reading() as connection:
            found = uploads.find(connection, getattr(request.state, PERSON), upload_id)
        if found is None or found.state != uploads.DONE:
            raise HTTPException(404, "there is no such upload")
        return found

    @router.get("/upload/{upload_id}.csv")
    def csv(request: Request, upload_id: str) -> Response:
        headers = saved_as(finished(request, upload_id), "csv")
        return StreamingResponse(stream(database, upload_id), 200, headers, "text/csv")

    @router.get("/upload/{upload_id}.xlsx")
    def xlsx(request: Request, upload_id: str) -> Response:
        headers = saved_as(finished(request, upload_id), "xlsx")
        handle, name = tempfile.mkstemp(suffix=".xlsx", dir=jobs.folder)
        os.close(handle)
        path = Path(name)
        with database.reading() as connection:
            exports.write_xlsx(uploads.every_row(connection, upload_id), path)
        done = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, headers=headers, media_type=XLSX, background=done)

    return router


async def stream(database: Database, upload_id: str) -> AsyncIterator[bytes]:
    """Yield an upload's rows as CSV, read away from the event loop."""
    with database.reading() as connection:
        pieces = exports.as_csv(uploads.every_row(connection, upload_id))
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


async def counted(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Pass on what arrives; raise TooLargeError as soon as it is too much."""
    arrived = 0
    async for piece in stream:
        arrived += len(piece)
        if arrived > LARGEST + AROUND:
            raise TooLargeError
        yield piece


def keep(file: UploadFile, path: Path) -> int:
    """Copy a file to where only this user may read it; return its bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as kept:
        shutil.copyfileobj(file.file, kept, 1 << 20)
        return kept.tell()


def shown(name: str) -> str:
    """Return a file's name as it is shown and stored: no folders, nothing that steers."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(each if each.isprintable() else "_" for each in last)[:300] or "file"


def saved_as(upload: Upload, suffix: str) -> dict[str, str]:
    """Return the header that gives a download its name."""
    name = quote(f"{Path(upload.name).stem}-scored.{suffix}")
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
