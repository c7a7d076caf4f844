"""How well decoded text reads, for telling encodings apart that statistics do not.

Belongs here: what words look like in any language. Does not belong here: which encodings there are (`encoding.py`).
"""

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+")
_RARE = frozenset("ðþÐÞŕĺŔĹýÝ")
"""What Icelandic, Slovak and Czech need is, in files of other languages, a sign of the wrong table."""
_AT_HOME = frozenset("æÆáÁíÍúÚóÓčřůžšŠČŘ")
_NOT_AT_HOME = frozenset("çüğş")
_OPENING, _CLOSING = frozenset("¿¡«“„‘"), frozenset("»”’°´™®…")
_SCRIPTS = ("CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI")


def oddness(text: str) -> float:
    """The share, from 0 to 1, of signs beyond ASCII that stand where no language puts them."""
    odd = total = 0.0
    at_home = not _AT_HOME.isdisjoint(text) and _NOT_AT_HOME.isdisjoint(text)
    for word in _WORD.findall(text):
        foreign = sum(not sign.isascii() for sign in word)
        if foreign:
            total += foreign
            odd += (
                foreign
                if _is_mixed(word) or _is_crowded(word, foreign)
                else sum(_is_odd(word, place, at_home) for place in range(len(word)))
            )
    for place, sign in enumerate(text):
        if not sign.isascii() and not sign.isalpha():
            total += 1
            odd += _is_odd_sign(sign, text[place - 1] if place else " ", text[place + 1 : place + 2] or " ")
    return odd / total if total else 0.0


def _is_mixed(word: str) -> bool:
    """Letters of two scripts in one word."""
    return len({_script(sign) for sign in word}) > 1


def _is_crowded(word: str, foreign: int) -> bool:
    """Whether most letters of a Latin word have accents."""
    return len(word) >= 4 and foreign > 0.6 * len(word) and all(_script(sign) == "LATIN" for sign in word)


def _script(sign: str) -> str:
    if sign.isascii():
        return "LATIN"
    name = unicodedata.name(sign, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), "LATIN" if "LATIN" in name else "OTHER")


def _is_odd(word: str, place: int, at_home: bool) -> float:
    sign = word[place]
    if sign.isascii():
        return 0.0
    if sign.isupper() and place and word[place - 1].islower():
        return 1.0
    if sign.isupper() and word[place + 1 : place + 2].islower() and place and word[place - 1].isupper():
        return 0.5
    if sign in "ªº" and len(word) > 1:
        return 0.7
    return 0.4 if sign in _RARE and not at_home else 0.0


def _is_odd_sign(sign: str, before: str, after: str) -> float:
    category = unicodedata.category(sign)
    if category in ("Cc", "Cn", "Co", "Cs") or sign == "\ufffd":
        return 1.0
    if category.startswith("M"):
        return 0.0
    if (sign in "’´‘" and before.isalpha()) or (sign in _CLOSING and not after.isalpha()):
        return 0.0
    if sign in _OPENING and not before.isalpha():
        return 0.0
    if before.isalpha() and after.isalpha():
        return 1.0
    box = "\u2500" <= sign <= "\u25ff"
    return 0.8 if box else 0.3 if before.isalpha() or after.isalpha() else 0.0
