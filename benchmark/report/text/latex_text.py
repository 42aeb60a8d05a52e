"""Plain text as pdflatex shows it, by pylatexenc; what it has no glyph for is replaced, and `substitutes` says by what.

The result needs amssymb beyond LaTeX's own fonts, and no font encoding but the default.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_OWN = {
    "|": r"\ensuremath{|}",  # the default encoding has dashes in place of these three
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "`": r"\textasciigrave{}",
    "\u00a0": "~",
    "\u2011": "-",
    "\u202f": r"\,",
    "²": r"\textsuperscript{2}",  # from here on: from the fonts that a document has in any case
    "³": r"\textsuperscript{3}",
    "¹": r"\textsuperscript{1}",
    "×": r"\ensuremath{\times}",
    "÷": r"\ensuremath{\div}",
    "µ": r"\ensuremath{\mu}",
    "°": r"\ensuremath{^\circ}",
    "…": r"\ldots{}",
    "←": r"\ensuremath{\leftarrow}",
    "→": r"\ensuremath{\rightarrow}",
    "↑": r"\ensuremath{\uparrow}",
    "↓": r"\ensuremath{\downarrow}",
    "✓": r"\ensuremath{\checkmark}",
    "✗": r"\ensuremath{\times}",
}
_BLOCKS = (
    range(0x00A0, 0x0180),  # Latin
    range(0x0370, 0x0400),  # Greek
    range(0x2000, 0x20D0),  # punctuation, raised and lowered digits, currencies
    range(0x2100, 0x2300),  # letterlike symbols, arrows, operators
)
_UNDEFINED = """
    guillemotleft guillemotright quotesinglbase quotedblbase guilsinglleft guilsinglright DH TH dh th k DJ dj nument
    NG ng acute Upsilon nobreakdash nolinebreak mathscr textfrac arrowwaveleft arrowwaveright dblarrowupdown
    DownArrowUpArrow rightangle iint iiint surfintegral volintegral clwintegral homothetic lazysinv approxnotequal
    tildetrpl allequal estimates starequal notlessgreater notgreaterless truestate forcesextra VDash original image
    hermitconjmatrix rightanglearc verymuchless verymuchgreater precedesnotsimilar udots
"""
"""Commands of pylatexenc's that LaTeX does not know without more packages or another encoding."""
_LONG = 30


def escape(text: str) -> str:
    """Plain text, on one line, as LaTeX source in ASCII."""
    source = "".join(_character(character)[0] for character in _normal(text))
    # Two hyphens or quotes in a row would become one dash or quote.
    return re.sub(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)", "{}", source)


def prose(text: str) -> str:
    """As `escape`; words that are too long for a line may be broken after punctuation, and at worst anywhere."""
    return " ".join(escape(word) if len(word) <= _LONG else _breakable(word) for word in _normal(text).split())


def substitutes(text: str) -> dict[str, str]:
    """The characters that pdflatex cannot show, and the text that stands for each."""
    return {c: shown for c in _normal(text) if (shown := _character(c)[1])}


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _breakable(word: str) -> str:
    parts = re.findall(rf"[^=./_,;:|+)-]{{1,{_LONG // 2}}}[=./_,;:|+)-]*|[=./_,;:|+)-]+", word)
    return r"\allowbreak{}".join(escape(part) for part in parts)


@cache
def _character(character: str) -> tuple[str, str]:
    """LaTeX for one character, and the plain text that it is shown as where it cannot be shown itself."""
    if character in _OWN:
        return _OWN[character], ""
    source = _encoded(character)
    if source is not None:
        return source, ""
    # An accent that is missing is left away; the rest is named by its number.
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    shown = plain if plain.isascii() and plain.isprintable() and plain else f"[U+{ord(character):04X}]"
    return "".join(_character(c)[0] for c in shown), shown


@cache
def _encoded(character: str) -> str | None:
    """By pylatexenc, or None where it does not know the character or pdflatex would not know the result."""
    from pylatexenc.latexencode import UnicodeToLatexEncoder

    if ord(character) > 0x7E and not any(ord(character) in block for block in _BLOCKS):
        return None
    encoder = UnicodeToLatexEncoder(
        unknown_char_policy="keep", unknown_char_warning=False, replacement_latex_protection="braces"
    )
    source = str(encoder.unicode_to_latex(character))
    known = (
        source.isascii()
        and source.isprintable()
        and not set(_UNDEFINED.split()) & set(re.findall(r"\\([A-Za-z]+)", source))
    )
    return source if known else None
