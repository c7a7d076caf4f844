"""What a cell looks like: number, date, missing, text.

Belongs here: a glance at single cells, for telling dialects, headers and notes apart. Does not belong here: the types
of columns, which look at all cells.
"""

import re

EMPTY, NUMBER, YEAR, DATE, CODE, TEXT, ODD = "empty", "number", "year", "date", "code", "text", "odd"

_MISSING = re.compile(
    r"(?i)(n/?a|nan|null|none|nil|\(null\)|#n/a|missing|unknown|tba|n\.a\.|[-.*?x:]|--+|\.\.+|\([a-z]\)|\[[a-z]\])"
)
_YEAR = re.compile(r"(1[89]|20|21)\d\d")
_NUMBER = re.compile(
    r"""[<>~≤≥]?\s?[-+−(]?\s?[$€£¥]?\s?[-+]?
    (\d{1,3}([,.\u00a0\u202f' ]\d{3})+([.,]\d+)?|\d*[.,]?\d+([eE][-+]?\d+)?|\d+[.,])
    \s?[%$€£¥°)*†‡]{0,2}(\s?(EUR|USD|GBP|kg|km|mm|cm|m|s|h))?""",
    re.X,
)
_TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s?[AaPp]\.?[Mm]\.?)?"
_MONTH = r"(jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zé]*\.?"
_DATE = re.compile(
    rf"""(\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}})
    |\d{{1,2}}[-\s.]*{_MONTH}[-\s.,]*(\d{{4}}|\d{{2}})|{_MONTH}[-\s]\d{{1,2}}(,?\s\d{{4}})?|{_MONTH}[-\s](\d{{4}}|\d{{2}}))
    ([T\s]+{_TIME}(Z|\s?[-+]\d\d:?\d\d|\s?UTC|\s?GMT)?)?|{_TIME}""",
    re.X | re.I,
)
_CODE = re.compile(
    r"""(?i)(https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.-]+|\d{1,3}(\.\d{1,3}){3}|true|false|yes|no|[0-9a-f]{8}-[0-9a-f-]{27}
    |(?=[\w./-]*\d)[\w./-]{2,24}|[{(<\[].*[})>\]]|point\s?\(.*\))""",
    re.X,
)
_TEXT = re.compile(r"[\w\s.,:;'’‘“”\"!?()/&%+*#°§–—\-´`=<>@$€£\[\]«»•…©®™/]*")
_ODD = re.compile(r"[,;|\t^~]\S|\"|[\x00-\x08\x0e-\x1f]")


def kind(cell: str | None) -> str:
    """One of the names above; blanks around do not count."""
    text = (cell or "").strip()
    if not text:
        return EMPTY
    if len(text) > 60 and text.isprintable():
        return ODD if _ODD.search(text[:200]) and " " not in text else TEXT
    if _YEAR.fullmatch(text):
        return YEAR
    if _NUMBER.fullmatch(text):
        return NUMBER
    if _MISSING.fullmatch(text):
        return EMPTY
    if _DATE.fullmatch(text):
        return DATE
    if _CODE.fullmatch(text):
        return CODE
    return TEXT if _TEXT.fullmatch(text) and not _ODD.search(text) else ODD


def is_value(name: str) -> bool:
    """Whether a kind is one of values, which a header seldom holds."""
    return name in (NUMBER, DATE)
