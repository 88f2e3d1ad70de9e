"""Uploads: datasets that are sent in pieces, over as many requests as it takes."""

from typing import Annotated

from pydantic import Field

from app.contract.base import ColumnName, Incoming, Name, Outgoing, Time
from app.contract.datasets import Format, Kind

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the whole file, in hexadecimal.")]


class DatasetFields(Incoming):
    """What can be said of a dataset beside its bytes."""

    name: Annotated[Name | None, Field(description="`penguins`, or a file's name.")] = None
    format: Annotated[Format | None, Field(description="null: told by the ending of the name.")] = None
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
    format: Format
    kinds: dict[str, Kind]
    size_bytes: Annotated[int | None, Field(description="Of the whole file, if it was told.")]
    sha256: Annotated[str | None, Field(description="Of the whole file, if it was told.")]
    offset: Annotated[int, Field(ge=0, description="Bytes that are stored; the next piece starts here.")]
    dataset_id: Annotated[str | None, Field(description="The dataset that was made from it, once it is complete.")]
    created_at: Time
    expires_at: Annotated[Time, Field(description="When it is deleted, complete or not; its dataset stays.")]
