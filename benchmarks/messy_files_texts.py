"""Short texts in many languages, and the encodings they are written in.

Belongs here: the texts. Does not belong here: the files made of them (`messy_files_corpus.py`).
"""

LANGUAGES = {
    "french": (
        ["Élodie à Besançon", "où çà naïve forêt", "déjà vu en été"],
        "cp1252 latin-1 iso-8859-15 utf-8 cp850 mac-roman",
    ),
    "german": (
        ["Übermäßig schöne Größe", "Äpfel für Jörg", "Straße nach Köln"],
        "cp1252 latin-1 utf-16 utf-8-sig cp437 cp850",
    ),
    "russian": (
        ["Москва столица России", "добрый вечер друзья", "река течёт быстро"],
        "cp1251 koi8-r iso-8859-5 cp866 mac-cyrillic",
    ),
    "polish": (["Łódź jest piękna", "źdźbło trawy świeci", "żółta gęś"], "cp1250 iso-8859-2 cp852"),
    "greek": (["Αθήνα πρωτεύουσα", "καλημέρα σας φίλοι", "θάλασσα και ήλιος"], "cp1253 iso-8859-7"),
    "turkish": (["İstanbul güzel şehir", "çok teşekkür ederim", "ağaç yeşil"], "cp1254 iso-8859-9"),
    "hebrew": (["ירושלים עיר הבירה", "שלום לכולם חברים", "בוקר טוב"], "cp1255"),
    "arabic": (["القاهرة عاصمة مصر", "صباح الخير جميعا", "مدينة كبيرة"], "cp1256 iso-8859-6"),
    "japanese": (
        ["東京は日本の首都です", "おはようございます", "カタカナのテスト"],
        "cp932 euc-jp iso-2022-jp utf-16-le utf-16-be",
    ),
    "chinese": (["北京是中国的首都", "早上好朋友们", "这是一个测试文件"], "gb18030 gbk utf-32"),
    "taiwanese": (["台北是臺灣的首都", "早安朋友們大家好", "這是一個測試"], "big5"),
    "korean": (["서울은 한국의 수도", "안녕하세요 여러분", "이것은 시험입니다"], "cp949 euc-kr"),
    "thai": (["กรุงเทพเป็นเมืองหลวง", "สวัสดีตอนเช้าเพื่อน", "นี่คือการทดสอบ"], "cp874 tis-620"),
    "ukrainian": (["Київ столиця України", "доброго ранку їжак", "ґанок і євро"], "cp1251 koi8-u"),
    "vietnamese": (["Hà Nội là thủ đô", "chào buổi sáng", "đây là thử nghiệm"], "utf-8 utf-16"),
    "english": (["plain words only", "nothing else here", "one more line"], "cp037 utf-16-le utf-32-be"),
}
