"""The model card as HTML."""

from __future__ import annotations

from markdown_it import MarkdownIt


def rendered_card(text: str) -> str:
    """HTML of a card in Markdown with tables; HTML in the card is shown as text.

    Pictures and bare addresses stay text: the page loads nothing from elsewhere.
    """
    reader = (
        MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "autolink"])
    )
    tokens = reader.parse(text)
    for token in tokens:
        # The page's policy forbids style attributes.
        style = str(token.attrs.pop("style", ""))
        if style.endswith("right"):
            token.attrSet("class", "number")
    return str(reader.renderer.render(tokens, reader.options, {}))
