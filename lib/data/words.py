"""Where a value stands in a text as a whole, in scripts with spaces between words and in those without."""

import re

# Scripts that put no space between words, or write particles to the word: Thai, Lao, Burmese, Khmer, Chinese, Japanese
# and Korean.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u31ff\u3400-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
# Letters of the others, and the vowel signs of Indian scripts, which are no letters to Python.
SPACED = rf"(?:[^\W{UNSPACED}]|[\u0900-\u0963\u0966-\u0dff])"


def find(value: str, text: str) -> re.Match | None:
    """The first place where the text has the value, and not as a part of a longer word or number.

    An end of the value that is in a script without spaces may stand beside anything: there, no boundary shows.
    """
    before = "" if re.match(f"[{UNSPACED}]", value) else f"(?<!{SPACED})"
    after = "" if re.search(f"[{UNSPACED}]$", value) else f"(?!{SPACED})"
    if re.match(r"\d", value):  # 5 km in neither 2.5 km nor -5 km
        before += r"(?<!\d[.,])(?<!\s[-\u2212])(?<!^[-\u2212])"
    if re.search(r"\w$", value):  # $5 not in $5.50, C not in C++
        after += r"(?![.,]\d|[+#])"
    return re.search(before + re.escape(value) + after, text)
