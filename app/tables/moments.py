"""Columns of text as times; see `times.py` for the same of one text."""

import polars as pl

from app.tables.times import MONTHS, Form

ISO_FORMAT = "%Y-%m-%dT%H:%M:%S%.f"


def stripped(name: str) -> pl.Expr:
    """Give a text column without white space around its values."""
    return pl.col(name).str.strip_chars()


def time_of(name: str, form: Form) -> pl.Expr:
    """Give the UTC time that each text in this form names; null for any other text."""
    return _iso_time(stripped(name)) if form is Form.ISO else _other_time(stripped(name), form)


def day_of(name: str) -> pl.Expr:
    """Give the time of texts that are ISO 8601 dates alone; a third of the work of `time_of`, and null for any other text."""
    text = pl.when(stripped(name).str.contains(r"^\d{4}-\d{2}-\d{2}$")).then(stripped(name))
    day = text.str.to_date("%Y-%m-%d", strict=False)
    return pl.when(day.dt.year() > 0).then(day).cast(pl.Datetime("us"))


def month_or_day(name: str) -> tuple[pl.Expr, pl.Expr]:
    """Give the largest first and the largest second number of texts as `01/31/2024`, of which one is the month."""
    parts = stripped(name).str.extract_groups(Form.DAY_FIRST.value).struct
    return parts.field("day").cast(pl.Int8).max(), parts.field("month").cast(pl.Int8).max()


def _iso_time(column: pl.Expr) -> pl.Expr:
    text = pl.when(column.str.contains(Form.ISO.value)).then(column.str.replace(" ", "T", literal=True))
    zone = text.str.extract(r"T.*([+-]\d{2}:?\d{2})$").str.replace(":", "", literal=True)
    naive = text.str.replace(r"(T[^Z+-]*)(Z|[+-].*)$", "$1")
    length = naive.str.len_bytes()
    full = pl.when(length == 10).then(naive + "T00:00:00").when(length == 16).then(naive + ":00").otherwise(naive)
    return _local(full) - _offset(zone)


def _other_time(column: pl.Expr, form: Form) -> pl.Expr:
    parts = column.str.extract_groups(form.value).struct

    def two(field: str) -> pl.Expr:
        return parts.field(field).str.zfill(2)

    month = two("month")
    if "word" in form.value:
        word = parts.field("word").str.slice(0, 3).str.to_lowercase()
        month = word.replace_strict(MONTHS, [f"{place:02}" for place in range(1, 13)], default=None)
    hour, half = parts.field("hour").cast(pl.Int64), parts.field("half").str.to_lowercase()
    hour = (
        pl.when(half.is_null())
        .then(hour.fill_null(0))
        .when(hour.is_between(1, 12))
        .then(hour % 12 + 12 * (half == "pm").cast(pl.Int64))
    )
    text = pl.format(
        "{}-{}-{}T{}:{}:{}.{}",
        parts.field("year"),
        month,
        two("day"),
        hour.cast(pl.String).str.zfill(2),
        parts.field("minute").fill_null("00"),
        parts.field("second").fill_null("00"),
        parts.field("fraction").fill_null("0"),
    )
    local = _local(text)
    return local - _offset(parts.field("zone")) if "zone" in form.value else local


def _local(text: pl.Expr) -> pl.Expr:
    """Give the time that ISO 8601 text without a zone names; there is no year 0."""
    time = text.str.to_datetime(ISO_FORMAT, strict=False, time_unit="us")
    return pl.when(time.dt.year() > 0).then(time)


def _offset(zone: pl.Expr) -> pl.Expr:
    """Give how far `+0130` is ahead of UTC; nothing for no zone, and for one in letters."""
    minutes = zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + zone.str.slice(3, 2).cast(pl.Int64, strict=False)
    return pl.duration(minutes=pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0))
