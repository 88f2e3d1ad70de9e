"""Large things over bad lines: uploads in pieces, downloads that go on where they were cut."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from app.contract.uploads import Upload
from descent.errors import APIError, Corrupt, NotFound, Unreachable, UploadBusy, WrongOffset
from descent.flow import KEY, Call, Flow, Pause, Retries, ask
from descent.sources import Source
from descent.wording import quoted

PIECE_BYTES = 8 * 2**20
# A file above this is sent in pieces.
WHOLE_BYTES = 32 * 2**20
# The service reads the whole table before it answers.
READING_S = 600.0
OFFSET = "Upload-Offset"


def send_whole(source: Source, kinds: str | None, retries: Retries, key: str | None) -> Flow[httpx.Response]:
    """Send a dataset in one request."""
    call = Call(
        "POST",
        "/v1/datasets",
        params={"name": source.name, "format": source.format, "kinds": kinds},
        content=source.chunks,
        # Its length is known: without it the service could refuse what is too large only after it came.
        headers={"Content-Length": str(source.size_bytes), **({KEY: key} if key else {})},
        keyed=True,
        timeout_s=READING_S,
    )
    return (yield from ask(call, retries))


def form(model: bytes, file: Source) -> tuple[Callable[[], Iterator[bytes]], dict[str, str]]:
    """Make the form of a model, which is JSON, and its file: its bytes, anew for each attempt, and its headers.

    httpx would make one, too, but reads the file where it must not wait.
    """
    mark = secrets.token_hex(16)
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="model"\r\nContent-Type: application/json\r\n\r\n'.encode()
        + model
        + f'\r\n--{mark}\r\nContent-Disposition: form-data; name="file"; filename="weights"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
    )
    tail = f"\r\n--{mark}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield head
        yield from file.chunks()
        yield tail

    length = len(head) + file.size_bytes + len(tail)
    return pieces, {"Content-Type": f"multipart/form-data; boundary={mark}", "Content-Length": str(length)}


def send_in_pieces(
    source: Source, kinds: dict[str, str] | None, retries: Retries, key: str | None
) -> Flow[httpx.Response]:
    """Send a dataset in pieces; what is cut goes on at the last byte that the service has.

    The key of the upload is made of the file, so that the same file that was cut in an earlier run goes on, too.
    """
    digest = source.sha256()
    fields: dict[str, Any] = {"name": source.name, "size_bytes": source.size_bytes, "sha256": digest}
    fields |= {"format": source.format} if source.format else {}
    fields |= {"kinds": kinds} if kinds else {}
    begin = Call("POST", "/v1/uploads", json=fields, keyed=True)
    upload = yield from _begun(begin, key or f"upload-{digest}", retries)
    if upload is None or (upload.dataset_id is not None and key is None):
        # The earlier one is gone, or has become a dataset: this is to be another.
        answer = yield from ask(begin, retries)
        upload = Upload.model_validate_json(answer.content)
    place = f"/v1/uploads/{quoted(upload.id)}"
    if upload.dataset_id is None:
        with source.open() as file:
            yield from _pieces(file, source.size_bytes, place, upload.offset, retries)
    return (yield from ask(Call("POST", f"{place}/complete", timeout_s=READING_S), retries))


def _begun(begin: Call, key: str, retries: Retries) -> Flow[Upload | None]:
    call = Call(begin.method, begin.path, json=begin.json, headers={KEY: key})
    try:
        answer = yield from ask(call, retries)
        first = Upload.model_validate_json(answer.content)
        answer = yield from ask(Call("GET", f"/v1/uploads/{quoted(first.id)}"), retries)
    except (NotFound, APIError) as error:
        if isinstance(error, NotFound) or error.code == "idempotency_key_reused":
            return None
        raise
    return Upload.model_validate_json(answer.content)


def _pieces(file: BinaryIO, size_bytes: int, place: str, offset: int, retries: Retries) -> Flow[None]:
    once = Retries(most=0)
    failures = 0
    while offset < size_bytes:
        file.seek(offset)
        piece = Call("PATCH", place, content=file.read(PIECE_BYTES), headers={OFFSET: str(offset)})
        try:
            answer = yield from ask(piece, once)
            offset, failures = int(answer.headers[OFFSET]), 0
            continue
        except WrongOffset as error:
            told = int(error.headers[OFFSET])
            failures = 0 if told > offset else failures + 1
            offset = told
        except (Unreachable, UploadBusy) as error:
            failures += 1
            delay_s = retries.delay_s(failures)
            if delay_s is None:
                raise
            yield Pause(delay_s)
            if isinstance(error, Unreachable):
                answer = yield from ask(Call("HEAD", place), retries)
                told = int(answer.headers[OFFSET])
                failures = 0 if told > offset else failures
                offset = told
        if failures > retries.most:
            raise Corrupt(f"The service stays at byte {offset:,} of {size_bytes:,}, whatever is sent.")


@dataclass
class _Part:
    """A file that is coming: its name says whose bytes it has, so that another run can go on with it."""

    target: Path
    sha256: str = ""
    file: BinaryIO | None = None

    @property
    def path(self) -> Path:
        return self.target.with_name(f".{self.target.name}.{self.sha256}.part")

    @classmethod
    def left_over(cls, target: Path) -> "_Part":
        """Give what an earlier run left, or an empty one."""
        start = f".{target.name}."
        for path in sorted(target.parent.glob(f".{target.name}.*.part")):
            digest = path.name.removeprefix(start).removesuffix(".part")
            if len(digest) == 64:
                return cls(target, digest)
        return cls(target)

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.sha256 and self.path.exists() else 0

    def take(self, answer: httpx.Response) -> Callable[[bytes], object]:
        """Open the file for the bytes of an answer: after those that are there (206), or from the start."""
        self.close()
        if answer.status_code != 206:
            self.discard()
            self.sha256 = answer.headers["etag"].strip('"')
        self.file = self.path.open("ab")
        return self.file.write

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def discard(self) -> None:
        if self.sha256:
            self.path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Check the hash, and give the file its name.

        Raises:
            Corrupt: It has other bytes.
        """
        self.close()
        with self.path.open("rb+") as file:
            digest = sha256()
            while chunk := file.read(2**20):
                digest.update(chunk)
            os.fsync(file.fileno())
        if digest.hexdigest() != self.sha256:
            self.discard()
            raise Corrupt(
                f"{self.target}: the bytes that came do not have the SHA-256 {self.sha256}; download it again."
            )
        self.path.replace(self.target)


def fetch_file(path: str, params: dict[str, Any], target: Path, retries: Retries) -> Flow[Path]:
    """Download into a file, whose name appears only when it is whole and has its hash.

    Raises:
        Corrupt: The bytes that came are not those of the ETag.
    """
    part = _Part.left_over(target)
    once = Retries(most=0)
    failures = 0
    try:
        while True:
            size = part.size_bytes
            headers = {"Range": f"bytes={size}-", "If-Range": f'"{part.sha256}"'} if size else {}
            try:
                yield from ask(Call("GET", path, params, headers=headers, sink=part.take, timeout_s=READING_S), once)
                break
            except (Unreachable, APIError) as error:
                part.close()
                if isinstance(error, APIError) and error.status == 416:
                    break  # all of it was there
                failures = 0 if part.size_bytes > size else failures + 1
                passing = isinstance(error, Unreachable) or error.status in {408, 429, 502, 503, 504}
                delay_s = retries.delay_s(max(1, failures)) if passing else None
                if delay_s is None:
                    raise
                yield Pause(delay_s)
        part.finish()
    finally:
        part.close()
    return target
