"""Names of files as text: a file system allows bytes in a name that no text may hold."""

import unicodedata


def shown(path: str) -> str:
    """The path in printable UTF-8: bytes that are no UTF-8 and control characters are escapes, as in `a\\xff`."""
    if why_odd(path) is None:
        return path
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(repr(one)[1:-1] if _is_control(one) else one for one in text)


def why_odd(path: str) -> str | None:
    """Why no caller can name the path, to complete "it …"; None where one can."""
    if path.isascii() and path.isprintable():
        return None
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    return "has a name with a control character" if any(map(_is_control, path)) else None


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"
