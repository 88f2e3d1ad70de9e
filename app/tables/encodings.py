"""The encoding of a text file: as told, or guessed; and the text as UTF-8."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from app.errors import Fault, InvalidRequest, UnreadableTable
from app.settings import MIB
from app.tables.scratch import MakePath

CHUNK_BYTES = 2 * MIB
SAMPLE_BYTES = 64 * 2**10
FEWEST_TO_GUESS = 8  # bytes beyond ASCII, to tell an encoding by
UTF8 = "utf-8"
WESTERN, TURKISH = "cp1252", "cp1254"
MARKS = {
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem", "utf-7"}
)
SINGLE_BYTE = ("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r")
MULTI_BYTE = ("shift_jis", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp949")
CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1b\x7f]")
# What stands inside words only if the text is not Western after all: most of it is letters of other code pages.
STRANGE = re.compile(r"[a-zà-ÿ][¡-¿×÷€‚ƒ„…†‡ˆ‰‹•˜›Ð][a-zà-ÿ]|[a-z][À-ÖØ-ÞŠŽŒ][a-z]")
WORD_RUNS = re.compile(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)")
ICELANDIC, NOT_TURKISH = re.compile("[ðýþ]"), re.compile("[áæéíóúåøñ]")  # which are ğ, ı and ş in a Turkish file


@dataclass(frozen=True)
class Text:
    """A file of UTF-8 text, the encoding it was sent in, and whether that was guessed."""

    path: Path
    encoding: str
    is_guessed: bool = False


def as_utf8(path: Path, told: str | None, make_path: MakePath, *, guess: bool) -> Text:
    """Give the text as UTF-8, written anew if it was sent otherwise.

    Args:
        told: The encoding that the sender names; None: it is found by a byte order mark, or else it is UTF-8, or else guessed.
        guess: Whether it may be guessed.

    Raises:
        UnreadableTable: The bytes are not text in that encoding; `line 3` says where.
        InvalidRequest: There is no such encoding.
    """
    encoding = _marked(path) if told is None else _known(told)
    if encoding is not None and encoding != UTF8:
        return _recoded(path, encoding, make_path())
    wrong = _first_wrong(path)
    if wrong is None:
        return Text(path, UTF8)
    if told is not None or encoding is not None or not guess:
        line = _line(path, wrong)
        raise _unreadable("not_utf8", f"line {line}: the text is not UTF-8")
    return _recoded(path, _guess(_sample(path, wrong), _line(path, wrong)), make_path(), is_guessed=True)


def _unreadable(code: str, message: str) -> UnreadableTable:
    return UnreadableTable(message, [Fault("", message, code)])


def _known(name: str) -> str:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding or found.name.replace("_", "-") in NO_CHARSETS:
        message = f"there is no encoding {name[:40]!r}; name one as `utf-8`, `windows-1252` or `shift_jis`"
        fault = Fault("?encoding", message, "unknown_encoding", tuple(sorted({UTF8, "windows-1252", "utf-16"})))
        raise InvalidRequest(message, [fault])
    return UTF8 if found.name in {"utf-8", "utf-8-sig", "ascii"} else found.name


def _marked(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(4)
    return next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), None)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _first_wrong(path: Path) -> int | None:
    """Give the place of the first byte that is not UTF-8, if there is one."""
    decoder = codecs.getincrementaldecoder(UTF8)()
    start = 0
    for chunk in _chunks(path):
        pending = len(decoder.getstate()[0])
        if not pending and chunk.isascii():
            start += len(chunk)
            continue
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return start - pending + error.start
        start += len(chunk)
    pending = len(decoder.getstate()[0])
    return start - pending if pending else None


def _line(path: Path, place: int) -> int:
    """Give the number of the line that a byte is in."""
    lines = 1
    for chunk in _chunks(path):
        lines += chunk[:place].count(b"\n")
        place -= len(chunk)
        if place <= 0:
            break
    return lines


def _sample(path: Path, place: int) -> bytes:
    """Give the lines that hold bytes beyond ASCII, from the first that is not UTF-8 on: a bounded number of them."""
    with path.open("rb") as file:
        file.seek(max(place - 1024, 0))
        around = file.read(32 * SAMPLE_BYTES)
    if CONTROLS.search(around):
        raise _unreadable("not_a_csv", "the file holds control characters and is not UTF-8: it is not text")
    lines = [line for line in around.splitlines(keepends=True) if not line.isascii()]
    return b"".join(lines)[:SAMPLE_BYTES]


def _guess(sample: bytes, line: int) -> str:
    """Choose the encoding: Windows-1252 (and so Latin-1) if that gives Western words, or else by the frequency of letters."""
    if _is_western(sample):
        text = sample.decode(WESTERN)
        return TURKISH if ICELANDIC.search(text) and not NOT_TURKISH.search(text) else WESTERN
    if sum(byte > 0x7F for byte in sample) >= FEWEST_TO_GUESS:
        best = from_bytes(sample, cp_isolation=[*SINGLE_BYTE, *MULTI_BYTE], threshold=0.3).best()
        if best is not None:
            return best.encoding
    message = (
        f"line {line}: the text is not UTF-8, and which encoding it is could not be guessed; name it by `?encoding=`"
    )
    raise _unreadable("not_utf8", message)


def _is_western(sample: bytes) -> bool:
    """In Western words accented letters stand alone or in twos; Cyrillic or Greek taken for Western is long runs of them."""
    try:
        text = sample.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    runs = WORD_RUNS.findall(text)
    short = sum(len(run) == 1 or (len(run) == 2 and bool(before or after)) for before, run, after in runs)
    strange = len(STRANGE.findall(text))
    return short >= 0.8 * len(runs) and strange <= 0.02 * len(runs) + (len(runs) > 20)


def _recoded(path: Path, encoding: str, target: Path, *, is_guessed: bool = False) -> Text:
    decoder = codecs.getincrementaldecoder(encoding)()
    with target.open("wb") as file:
        lines = 1
        try:
            for chunk in _chunks(path):
                text = decoder.decode(chunk)
                lines += text.count("\n")
                file.write(text.encode())
            file.write(decoder.decode(b"", final=True).encode())
        except UnicodeError:
            message = f"after line {lines}: the text is not {encoding}; name another `?encoding=`"
            raise _unreadable("wrong_encoding", message) from None
    return Text(target, encoding, is_guessed)
