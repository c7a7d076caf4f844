"""Encodings are found, and what cannot be decoded is marked, not lost."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import ConfigurationError
from resources.landing.readers import text_file
from resources.landing.readers.encoding import Encoding, find_encoding
from resources.landing.readers.hints import Hints
from resources.landing.readers.plausibility import oddness
from resources.landing.readers.text_file import as_utf8, batches, if_utf8, split_lines, tail_lines

TEXTS = {
    "cp1252": "Élodie à Besançon; où est la forêt; déjà vu en été; l’œuvre naïve",
    "cp1250": "Łódź jest piękna; źdźbło trawy świeci; żółta gęś idzie",
    "cp1251": "Москва столица России; добрый вечер друзья; река течёт быстро",
    "koi8-r": "Москва столица России; добрый вечер друзья; река течёт быстро",
    "cp1253": "Αθήνα πρωτεύουσα; καλημέρα σας φίλοι; θάλασσα και ήλιος",
    "cp1254": "İstanbul güzel şehir; çok teşekkür ederim; ağaç yeşil",
    "cp1255": "ירושלים עיר הבירה; שלום לכולם חברים; בוקר טוב",
    "cp932": "東京は日本の首都です; おはようございます; カタカナのテスト",
    "gb18030": "北京是中国的首都; 早上好朋友们; 这是一个测试文件",
    "big5": "台北是臺灣的首都; 早安朋友們大家好; 這是一個測試",
    "cp949": "서울은 한국의 수도; 안녕하세요 여러분; 이것은 시험입니다",
    "cp850": "Élodie à Besançon; où est la forêt; déjà vu en été; Übermäßig schön",
    "cp037": "plain words only; nothing else here; one more line of them",
    "iso-2022-jp": "東京は日本の首都です; おはようございます; カタカナのテスト",
    "utf-16": "Élodie à Besançon",
    "utf-16-le": "plain words without a mark",
    "utf-16-be": "plain words without a mark",
    "utf-32-le": "plain words without a mark",
    "utf-8-sig": "Élodie à Besançon",
    "utf-8": "東京 Élodie Москва",
}


def written(data: bytes, folder: Path) -> Path:
    path = folder / "text"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("codec", TEXTS)
def test_text_in_this_encoding_is_decoded(codec: str, tmp_path: Path) -> None:
    text = "".join(f"{number};{part.strip()}\n" for number, part in enumerate(TEXTS[codec].split(";") * 12))
    path = written(text.encode(codec), tmp_path)
    found = as_utf8(path, find_encoding(path, Hints()), tmp_path)
    assert found.path.read_bytes().decode("utf-8-sig") == text
    assert found.lines == text.count("\n")


def test_what_is_declared_is_believed(tmp_path: Path) -> None:
    found = find_encoding(written("é".encode("cp1252"), tmp_path), Hints(encoding="CP437"))
    assert found == Encoding(name="cp437", confidence=1.0)


@pytest.mark.parametrize("name", ["klingon", "base64"])
def test_an_unknown_encoding_is_a_fault_of_the_declaration(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=name):
        find_encoding(written(b"x", tmp_path), Hints(encoding=name))


def test_a_few_foreign_lines_in_utf8_stay_undecodable(tmp_path: Path) -> None:
    lines = ["é ü ö\n".encode()] * 40 + ["caf\xe9\n".encode("latin-1")]
    found = find_encoding(written(b"".join(lines), tmp_path), Hints())
    assert (found.name, found.fallback) == ("utf-8", None)


def test_a_file_of_two_encodings_is_read_line_by_line(tmp_path: Path) -> None:
    data = "première année\n".encode() * 20 + "deuxième été\n".encode("cp1252") * 10
    path = written(data, tmp_path)
    found = find_encoding(path, Hints())
    assert (found.name, found.fallback) == ("utf-8", "cp1252")
    assert as_utf8(path, found, tmp_path).path.read_text("utf-8").splitlines()[-1] == "deuxième été"


def test_bytes_that_are_no_letters_do_not_make_another_encoding(tmp_path: Path) -> None:
    found = find_encoding(written(b"a,b\n" * 50 + b"x,\xff\xfe\n", tmp_path), Hints())
    assert found.name == "utf-8"


@pytest.mark.parametrize(
    "text",
    [
        "kostet “5” Euro – nur heute",
        "kostet 5 €",
        "in € je Haus",
        "“nur” 5€ – 6€",
        "ein „Haus“ heute",
        "it’s the ‘best’ of the boys’ – “so far”",
        "1\u00a0234,50",
        "1\u00a0234\u00a0€",
    ],
)
def test_signs_that_are_no_letters_are_those_of_windows(text: str, tmp_path: Path) -> None:
    data = "".join(f"Lampe {number};{text}\r\n" for number in range(20)).encode("cp1252")
    found = find_encoding(written(data, tmp_path), Hints())
    assert (found.name, found.fallback) == ("cp1252", None)


@pytest.mark.parametrize("text", ["öl und öfen", "più caro", "Ça va", "être à Rome"])
def test_letters_of_dos_are_not_taken_for_signs_of_windows(text: str, tmp_path: Path) -> None:
    data = "".join(f"Lampe {number};{text}\r\n" for number in range(20)).encode("cp850")
    assert find_encoding(written(data, tmp_path), Hints()).name == "cp850"


def test_a_blank_that_groups_thousands_is_no_junk(tmp_path: Path) -> None:
    lines = [b"Lampe;1\xa0234,50\n"] * 8 + [b"x;\xff\xfe\n"] * 2
    assert find_encoding(written(b"".join(lines), tmp_path), Hints()).name != "utf-8"


def test_numbers_grouped_in_another_encoding_are_read_line_by_line(tmp_path: Path) -> None:
    data = "première;1\n".encode() * 20 + "deuxième;1\u00a0234\n".encode("cp1252") * 10
    found = find_encoding(written(data, tmp_path), Hints())
    assert (found.name, found.fallback) == ("utf-8", "cp1252")


def test_what_cannot_be_decoded_is_marked(tmp_path: Path) -> None:
    path = written(b"a\n\xe9\x80\n\0b\n", tmp_path)
    found = as_utf8(path, Encoding(name="utf-8", confidence=1.0), tmp_path)
    assert found.path.read_bytes() == b"a\n\0\\xe9\0\\x80\n\0\\x00b\n"
    assert found.lines == 3


def test_a_clean_file_is_not_copied(tmp_path: Path) -> None:
    path = written("\ufeffé\r\n".encode(), tmp_path)
    found = if_utf8(path)
    assert found is not None
    assert (found.path, found.start, found.lines, found.line_ends) == (path, 3, 1, "\\r\\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab\r\n", max_size=60), st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_are_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, size: int
) -> None:
    monkeypatch.setattr(text_file, "CHUNK", size)
    found = if_utf8(written(text.encode(), tmp_path))
    assert found is not None
    lines = [line for batch in batches(found, 1_000, size) for line in batch]
    assert lines == split_lines(text)
    assert found.lines == len(lines)
    tail = tail_lines(found, size)
    assert lines[len(lines) - len(tail) :] == tail


@given(st.text("a\r\n", max_size=60), st.integers(1, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_long_lines_are_cut_and_counted_all_the_same(tmp_path: Path, text: str, size: int) -> None:
    found = if_utf8(written(text.encode(), tmp_path))
    assert found is not None
    lines = [line for batch in batches(found, 5, size) for line in batch]
    whole = split_lines(text)
    assert len(lines) == len(whole)
    for line, original in zip(lines, whole, strict=True):
        short = original.rstrip("\r\n")
        assert line == original or (len(original) > 5 and f"[{len(short)} bytes, sha256 " in line)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("déjà vu", "dйjа vu"), ("für Köln", "fÅr Kîln"), ("ağaç yeşil", "aðaç yeþil"), ("è più", "ŝ piý")],
)
def test_text_in_the_wrong_encoding_reads_odd(right: str, wrong: str) -> None:
    assert oddness(right) < oddness(wrong)
