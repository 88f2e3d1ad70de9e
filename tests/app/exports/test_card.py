"""A model card shows what people have named, and nothing that they have named acts."""

import pytest

from app.exports.card import as_markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("iris baseline 2.5-a", "iris baseline 2.5-a"),
        ("日本 Zoë", "日本 Zoë"),
        ("<script>alert(1)</script>", r"&lt;script&gt;alert\(1\)&lt;/script&gt;"),
        ("a | b", r"a \| b"),
        ("[x](javascript:alert)", r"\[x\]\(javascript:alert\)"),
        ("# *big* _new_ `code` ~~no~~", r"\# \*big\* \_new\_ \`code\` \~\~no\~\~"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("line\n\n## two\r\tthree\u2028four", r"line  \#\# two  three four"),
        ("http://evil.example", r"http\://evil.example"),
        ("www.evil.example ann@evil.example", r"www\.evil.example ann\@evil.example"),
        ("\\*", r"\\\*"),
    ],
)
def test_names_are_text(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


def test_a_long_name_is_cut_before_it_is_escaped() -> None:
    assert as_markdown("*" * 500) == r"\*" * 199 + "…"
