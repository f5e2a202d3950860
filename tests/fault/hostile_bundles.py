"""Hostile texts of bundles and manifests: valid ones, changed as bytes or as TOML. A `Random` decides all of it."""

from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from tests.fault.mutations import mutated_bytes
from tests.support.bundles import GREETING, MODEL, SEQUENCE, python_method
from tests.support.corpus import ROOT

Change = Callable[[Random, bytes], bytes]

MANIFEST = b"""\
[package]
address = "github.com/somebody/method"
name = "method"
version = "1.0.0"
description = "A method"
main_pipe = "greet"
"""

_DEPTHS = (50, 401, 401, 1_000, 5_000, 30_000)
_LENGTHS = (300, 3_000, 30_000, 300_000)
_VALUES = (
    *(b"5", b"-1", b"[]", b"{}", b"[[[1]]]", b'""', b"true", b"nan", b"inf", b"1979-05-27T07:32:00Z", b"07:32:00"),
    *(b'"x"', b'[1, "a", {}]', b"{ concept = 5 }", b'{ a = { b = "c" } }', b"0x7fffffffffffffffffff", b"1e400"),
    *(
        b'"{{ name }}"',
        b'"{{ a.b.c() }}"',
        b'"{% for x in y %}"',
        b'"Text[]"',
        b'"Text[999999999]"',
        b'"greeting.Text"',
    ),
    *(b'"\\u0000"', b'"\\u2028\\u202e\\u200b\\U000E0041"', b'"../../etc/passwd"', b'"native.Text"', b'"a->b.c"'),
)
_KEYS = (
    *(b"domain", b"main_pipe", b"description", b"output", b"inputs", b"template", b"type", b"steps", b"concept"),
    *(b"pipe", b"prompt", b"refines", b"structure", b"name", b"version", b"address", b"exclude", b"dependencies"),
)


@cache
def sound_bundles() -> Sequence[bytes]:
    """Bundles to begin with, the small ones of the corpus among them."""
    texts = [GREETING, SEQUENCE, MODEL, str(python_method("    return None").model_dump()["files"]["main.mthds"])]
    corpus = [path.read_bytes() for path in sorted(ROOT.rglob("*.mthds"))]
    return [*(text.encode() for text in texts), *(text for text in corpus if len(text) < 3_000)]


@cache
def sound_manifests() -> Sequence[bytes]:
    """Manifests to begin with."""
    return [MANIFEST, *(path.read_bytes() for path in sorted(ROOT.rglob("METHODS.toml")))]


def hostile_bundle(chance: Random) -> bytes:
    """The bytes of a bundle; few of them still load."""
    return hostile_toml(chance, chance.choice(sound_bundles()))


def hostile_manifest(chance: Random) -> bytes:
    """The bytes of a METHODS.toml."""
    return hostile_toml(chance, chance.choice(sound_manifests()))


def hostile_toml(chance: Random, text: bytes) -> bytes:
    """A TOML text after a change or two."""
    for _ in range(chance.choice((1, 1, 2))):
        text = mutated_bytes(chance, text) if chance.random() < 0.45 else chance.choice(_CHANGES)(chance, text)
    return text


def _value(chance: Random, text: bytes) -> bytes:
    """An odd value for a key, where it stands or at the top."""
    key, value = chance.choice(_KEYS), chance.choice(_VALUES)
    lines = text.split(b"\n")
    places = [number for number, line in enumerate(lines) if line.startswith(key + b" ")]
    if not places:
        return key + b" = " + value + b"\n" + text
    lines[chance.choice(places)] = key + b" = " + value
    return b"\n".join(lines)


def _nested_arrays(chance: Random, text: bytes) -> bytes:
    depth = chance.choice(_DEPTHS)
    return b"deep = " + b"[" * depth + b"]" * chance.choice((depth, depth, 0)) + b"\n" + text


def _nested_tables(chance: Random, text: bytes) -> bytes:
    depth = chance.choice(_DEPTHS)
    return b"deep = " + b"{ a = " * depth + b"1" + b" }" * depth + b"\n" + text


def _dotted_key(chance: Random, text: bytes) -> bytes:
    return b"a." * chance.choice((*_DEPTHS, 1_001)) + b"a = 1\n" + text


def _dotted_table(chance: Random, text: bytes) -> bytes:
    return text + b"\n[" + b"a." * chance.choice(_DEPTHS) + b"a]\nx = 1\n"


def _long_text(chance: Random, text: bytes) -> bytes:
    filler = chance.choice((b"a", b"/", b"\\\\", b"\xc3\xa9", b"{{", b"\\u2028", b"$", b"@", b" ", b"\\t"))
    key = chance.choice((b"description", b"domain", b"main_pipe", b"other"))
    return key + b' = "' + filler * (chance.choice(_LENGTHS) // len(filler)) + b'"\n' + text


def _references(chance: Random, text: bytes) -> bytes:
    """What looks like the address of a package nearly to its end."""
    size = chance.choice(_LENGTHS[:3])
    part = chance.choice((b"/", b"a/", b"a.b/", b"-", b'"a/b', b'"/', b"a/b->", b"\n/", b'""'))
    end = chance.choice((b" ->", b"->", b'->x"', b"", b"\n"))
    return text + b'\n# "' + part * (size // len(part)) + end


def _open_string(chance: Random, text: bytes) -> bytes:
    return text + chance.choice(
        (b'\nx = "', b'\nx = """', b"\nx = '''", b"\nx = [", b"\nx = {", b"\n[", b"\n[[", b"\nx")
    )


def _many(chance: Random, text: bytes) -> bytes:
    count = chance.choice((100, 2_000))
    line = chance.choice(
        (b"k%d = 1\n", b"[t%d]\n", b"[[t]]\nx = %d\n", b"[pipe.p%d]\n", b'[concept.C%d]\ndescription = "x"\n')
    )
    return text + b"\n" + b"".join(line.replace(b"%d", b"%d" % number) for number in range(count))


def _twice(chance: Random, text: bytes) -> bytes:
    return text + text


def _numbers(chance: Random, text: bytes) -> bytes:
    number = chance.choice(
        (b"9" * 5_000, b"0x" + b"f" * 5_000, b"1e99999", b"0.1" + b"0" * 5_000, b"9999-99-99", b"1_0_0")
    )
    return b"n = " + number + b"\n" + text


def _template(chance: Random, text: bytes) -> bytes:
    """A template that nests deeply, or is none."""
    depth = chance.choice((20, 200, 2_000))
    templates = (
        *(b"{{ " + b"(" * depth + b"1" + b")" * depth + b" }}", b"{% if a %}" * depth + b"{% endif %}" * depth),
        *(b"{{ a" + b".b" * depth + b" }}", b"{{ a" + b"|upper" * depth + b" }}", b"{{" * depth, b"{% raw %}"),
        *(b"{{ " + b"[" * depth + b"]" * depth + b" }}", b"{{ " + b"not " * depth + b"1 }}", b"{{ '" + b"a" * depth),
    )
    lines = text.split(b"\n")
    places = [number for number, line in enumerate(lines) if line.startswith((b"template ", b"prompt "))]
    for place in places[:1]:
        lines[place] = lines[place].partition(b" ")[0] + b' = "' + chance.choice(templates) + b'"'
    return b"\n".join(lines)


def _cycle(chance: Random, text: bytes) -> bytes:
    cycles = (
        b'\n[concept.A]\ndescription = "a"\nrefines = "B"\n[concept.B]\ndescription = "b"\nrefines = "A"\n',
        b'\n[pipe.loop]\ntype = "PipeSequence"\ndescription = "x"\noutput = "Text"\n'
        b'steps = [{ pipe = "loop", result = "r" }]\n',
        b'\n[concept.S]\ndescription = "s"\n[concept.S.structure]\n'
        b's = { type = "concept", concept_ref = "S", required = true }\n',
        b"\n[concept.D.structure]"
        + b"".join(b"\n[concept.D.structure.%s]" % (b"a." * n + b"a") for n in (1, 5, 50))
        + b"\n",
        b"\n[concept]\nConcept = 5\n",
        b"\n[concept.X]\nconcept = 5\n",
        b"\n[pipe]\nx = 5\n",
    )
    return text + chance.choice(cycles)


def _line_ends(chance: Random, text: bytes) -> bytes:
    lines = text.split(b"\n")
    return b"".join(line + chance.choice((b"\n", b"\r\n", b"\r", b"\n\r", b"\x0b", b"\xe2\x80\xa8")) for line in lines)


def _odd_description(chance: Random, text: bytes) -> bytes:
    odd = chance.choice(
        ("\u202e", "\u200b", "\U000e0041", "\u2028", "\u0085", "\ufeff", "\u2066", "\\u001B[2J", "\\u0007")
    )
    return b'description = "say ' + odd.encode() * 3 + b' it"\n' + text


_CHANGES: Sequence[Change] = (
    *(_value, _value, _value, _nested_arrays, _nested_tables, _dotted_key, _dotted_table, _long_text, _references),
    *(_open_string, _many, _twice, _numbers, _template, _template, _cycle, _cycle, _line_ends, _odd_description),
)
