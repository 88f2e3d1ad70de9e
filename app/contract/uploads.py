"""Uploads: datasets that are sent in pieces, over as many requests as it takes."""

from typing import Annotated

from pydantic import Field, StringConstraints

from app.contract.base import ColumnName, Incoming, Name, Outgoing, Time
from app.contract.datasets import Format, Header, Kind

Separator = Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"^[\x01-\x09\x0b\x0c\x0e-!#-\x7e]$")]
Encoding = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.:-]+$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the whole file, in hexadecimal.")]


class DatasetFields(Incoming):
    """What can be said of a dataset beside its bytes."""

    name: Annotated[Name | None, Field(description="`penguins`, or a file's name.")] = None
    format: Annotated[
        Format | None, Field(description="null: told by the ending of the name (`.csv.gz`), or by the bytes.")
    ] = None
    separator: Annotated[Separator | None, Field(description="Of CSV: an ASCII character; null: it is guessed.")] = None
    encoding: Annotated[
        Encoding | None,
        Field(
            description="Of text: `utf-8`, `windows-1252`, `shift_jis`, …; null: told by a byte order mark, or guessed."
        ),
    ] = None
    header: Annotated[
        Header,
        Field(
            description="Of CSV: whether the first line names the columns (else they are `column_0`, …). `auto`: it does, unless "
            "it holds numbers where the lines below hold numbers, or values that all come again below."
        ),
    ] = Header.AUTO
    kinds: Annotated[
        dict[ColumnName, Kind], Field(description='Overrides what is found: `{"zip": "categorical"}`.')
    ] = {}


class UploadCreate(DatasetFields):
    """A dataset that is about to be sent in pieces."""

    size_bytes: Annotated[
        int | None, Field(ge=1, description="Of the whole file. If it is given, the upload must come to just that.")
    ] = None
    sha256: Annotated[Sha256 | None, Field(description="If it is given, the bytes must have this hash.")] = None


class Upload(Outgoing):
    """A dataset that is being sent in pieces."""

    id: Annotated[str, Field(pattern="^upload_")]
    name: str
    format: Annotated[Format | None, Field(description="null: the bytes will tell.")]
    kinds: dict[str, Kind]
    separator: str | None
    encoding: str | None
    header: Header
    size_bytes: Annotated[int | None, Field(description="Of the whole file, if it was told.")]
    sha256: Annotated[str | None, Field(description="Of the whole file, if it was told.")]
    offset: Annotated[int, Field(ge=0, description="Bytes that are stored; the next piece starts here.")]
    dataset_id: Annotated[str | None, Field(description="The dataset that was made from it, once it is complete.")]
    created_at: Time
    expires_at: Annotated[Time, Field(description="When it is deleted, complete or not; its dataset stays.")]
