"""Documents that are made to exhaust a reader, and what each costs: run it to measure.

python hostile_documents.py NAME...     prints NAME, seconds, MiB above idle and the codes
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import islice, permutations

LARGEST = 2**20


def full(text: str, before: str = "", after: str = "") -> str:
    """The text again and again, up to the largest document there is."""
    room = LARGEST - len(before.encode()) - len(after.encode())
    return before + text * (room // len(text.encode())) + after


def numbered(line: str, count: int, before: str = "") -> str:
    return before + "".join(line.format(each) for each in range(count))


def bomb(first: str, line: str) -> str:
    """Each line holds the one before nine times."""
    lines = [f"a0: &a0 {first}"]
    for each in range(1, 60):
        inner = ", ".join(line.format(index, each - 1) for index in range(9))
        open_bracket, close = ("{", "}") if ":" in inner else ("[", "]")
        lines.append(f"a{each}: &a{each} {open_bracket}{inner}{close}")
    return "\n".join(lines)


def merge_bomb() -> str:
    lines = ["a0: &a0 {x: 1}"]
    for each in range(1, 60):
        inner = ", ".join([f"*a{each - 1}"] * 9)
        lines.append(f"a{each}: &a{each} {{<<: [{inner}]}}")
    return "\n".join(lines)


LOSS = "loss: {terms: {a: {type: mse}}}\n"
TERM = "terms:\n  a:\n    type: {}\n"
WORD = "x" * (LARGEST - 200)
MISSPELT = ", ".join(
    "".join(letters) + ": 0" for letters in islice(permutations("sample_weight"), 7, 307)
)

# The first group is what has been found to cost most.
DOCUMENTS: dict[str, Callable[[], str]] = {
    "unknown keys of a document": lambda: numbered("k{}: 1\n", 49_000),
    "unknown keys of a term": lambda: numbered("    k{}: 1\n", 49_000, TERM.format("mse")),
    "unknown parameters": lambda: numbered(
        "      k{}: 1\n", 49_000, TERM.format("mse") + "    params:\n"
    ),
    "unknown inputs": lambda: numbered(
        "      k{}: 1\n", 49_000, TERM.format("mse") + "    inputs:\n"
    ),
    "unknown keys on one line": lambda: (
        numbered("k{}: 1, ", 49_000, "terms: {a: {type: mse, ") + "}}"
    ),
    "unknown options": lambda: (
        numbered("k{}: 1, ", 49_000, "task: digits\nloss: {terms: {a: {type: mse}}}\ntrainer: {")
        + "}"
    ),
    "an experiment's foreign keys": lambda: numbered(
        "k{}: 1\n", 49_000, "task: digits\nloss: {terms: {a: {type: mse}}}\n"
    ),
    "terms that are no mappings": lambda: numbered("  k{}: 1\n", 49_000, "terms:\n"),
    "terms without a type": lambda: numbered("  k{}: {{}}\n", 49_000, "terms:\n"),
    "terms of unknown losses": lambda: numbered("  k{0}: {{type: m{0}}}\n", 24_000, "terms:\n"),
    "good terms": lambda: numbered("  k{}: {{type: mse}}\n", 24_000, "terms:\n"),
    "a bad term with many users": lambda: numbered(
        "  k{}: *a\n", 15_000, "terms:\n  a: &a {type: mse, weight: x}\n"
    ),
    "a misspelt term with many users": lambda: numbered(
        "  k{}: *a\n",
        3_200,
        "terms:\n  a: &a {typ: cross_entropy, wieght: {schedul: linear, strt: 0}, "
        "inptus: {inptu: {frm: x}, trget: {aply: [sofmax]}}, parms: {label_smoothin: 3}}\n",
    ),
    "misspelt keys with many users": lambda: numbered(
        "  t{}: *x\n", 150, f"x: &x {{{MISSPELT}, typ: mse}}\nterms:\n"
    ),
    "good class weights": lambda: (
        TERM.format("nll") + f"    params: {{weight: [{'1.0, ' * 99_000}]}}\n"
    ),
    "bad class weights": lambda: (
        TERM.format("nll") + f"    params: {{weight: [{'x, ' * 99_000}]}}\n"
    ),
    "one key": lambda: full("a: 1\n"),
    "one key on one line": lambda: full("a: 1, ", "{", "}"),
    "empty lists": lambda: full("[],", "[", "]"),
    "anchors": lambda: numbered("&a{} {{}},", 70_000, "[") + "]",
    "tabs before values": lambda: full("\t1,", "[", "]"),
    "carriage returns": lambda: full("\r"),
    "quoted NELs": lambda: full('"\x85",', "[", "]"),
    "many quotes, and a NEL": lambda: full('- "x"\n', after="\x85"),
    "a path of many steps": lambda: full("[0]", "terms: {a: {type: mse, inputs: ['x", "', y]}}"),
    "the same path twice": lambda: "terms: {{a: {{type: mse, inputs: [{0}, {0}]}}}}".format(
        "x" * (LARGEST // 2 - 50)
    ),
    "no path": lambda: full("x.", "terms: {a: {type: mse, inputs: ['", "', y]}}"),
    "bomb of lists": lambda: bomb("[x, x]", "*a{1}"),
    "bomb of mappings": lambda: bomb("{x: 1}", "k{0}: *a{1}"),
    "bomb of merges": merge_bomb,
    # What costs little.
    "[": lambda: full("["),
    "{": lambda: full("{"),
    "- ": lambda: full("- "),
    "a: ": lambda: full("a: "),
    "? ": lambda: full("? "),
    ": ": lambda: full(": "),
    "&a ": lambda: full("&a "),
    "*a ": lambda: full("*a "),
    "!a ": lambda: full("!a "),
    "!": lambda: full("!"),
    "'": lambda: full("'"),
    '"': lambda: full('"'),
    "#": lambda: full("#"),
    "# x": lambda: full("# x\n"),
    " ": lambda: full(" "),
    "tab": lambda: full("\t"),
    "tab and dash": lambda: full("-\t"),
    "line feeds": lambda: full("\n"),
    "CRLF": lambda: full("a: 1\r\n"),
    "|": lambda: full("|\n"),
    "%": lambda: full("%"),
    "%a": lambda: full("%a\n"),
    "---": lambda: full("---\n"),
    "...": lambda: full("...\n"),
    ":": lambda: full(":"),
    "\\x41": lambda: full("\\x41", 'a: "', '"'),
    "''": lambda: full("''", "a: '", "'"),
    "emoji": lambda: full("\U0001f600"),
    "NELs": lambda: full("\x85"),
    "quotes on many lines": lambda: full("x\n ", 'a: "', '"'),
    "a long block": lambda: full("  x\n", "a: |\n"),
    "a long plain value": lambda: full("x\n ", "a: "),
    "tags": lambda: full("!x 1,", "[", "]"),
    "keys that are numbers": lambda: full("1: 1,", "{", "}"),
    "a large value": lambda: f"terms: {{a: {{type: mse, weight: {WORD}}}}}",
    "a large quoted value": lambda: f"terms: {{a: {{type: mse, weight: '{WORD}'}}}}",
    "a large choice": lambda: f"terms: {{a: {{type: mse, params: {{reduction: {WORD}}}}}}}",
    "a large loss": lambda: f"terms: {{a: {{type: {WORD}}}}}",
    "a large number": lambda: f"terms: {{a: {{type: mse, weight: {'1' * len(WORD)}}}}}",
    "a large binary number": lambda: f"terms: {{a: {{type: mse, weight: 0b{'1' * 990}}}}}",
    "a large key": lambda: f"terms: {{a: {{type: mse, ? '{WORD}' : 1}}}}",
    "a large term": lambda: f"terms: {{? '{WORD}' : 1}}",
    "a large tag": lambda: f"!{WORD} x",
    "a large anchor": lambda: f"&{WORD} x",
    "a large alias": lambda: f"*{WORD}",
    "a list of one merge": lambda: f"a: &l [{'{},' * 49_000}]\nb: {{<<: *l}}\n",
    "merges of a large mapping": lambda: numbered(
        "b{}: {{<<: *a}}\n", 4, numbered("k{}: 1,", 20_000, "a: &a {") + "}\n"
    ),
    "aliases of nothing": lambda: f"a: &a []\nb: [{'*a,' * 98_000}]",
    "objectives": lambda: numbered("k{}: {{terms: {{a: {{type: mse}}}}}}\n", 12_000),
    "an objective with many users": lambda: numbered(
        "k{}: *a\n", 9_000, "a: &a {terms: {a: {type: mse}}}\n"
    ),
    "objectives by name": lambda: numbered(
        "  k{}: {{terms: {{a: {{type: mse}}}}}}\n", 12_000, "objectives:\n"
    ),
    "frozen paths that nothing reads": lambda: numbered(
        "  k{0}: {{type: mse, inputs: [a{0}, b{0}]}}\n",
        3_000,
        f"frozen: [{', '.join(f'c{index}' for index in range(10_000))}]\nterms:\n",
    ),
    "terms outside": lambda: numbered("k{}: {{type: mse, weigt: 1}}\n", 14_000, LOSS),
    "foreign types": lambda: numbered("k{0}: {{a: {{type: m{0}x, weight: 1}}}}\n", 10_000, LOSS),
    "derived names that double": lambda: (
        "derive:\n  a0: x\n"
        + "".join(
            f"  a{each + 1}: {{from: a{each}, apply: [{{add: a{each}}}]}}\n"
            for each in range(11_000)
        )
        + "terms: {fit: {type: mse, inputs: [a11000, y]}}\n"
    ),
    "derived names in a circle": lambda: (
        "derive:\n"
        + "".join(f"  a{each}: a{(each + 1) % 20_000}\n" for each in range(20_000))
        + "terms: {fit: {type: mse, inputs: [a0, y]}}\n"
    ),
    "many derived names of themselves": lambda: (
        numbered("  a{0}: a{0}\n", 40_000, "derive:\n")
        + "terms: {fit: {type: mse, inputs: [a0, y]}}\n"
    ),
    "readers of a derived circle": lambda: (
        numbered("  a{}: b\n", 40_000, "derive:\n  b: c\n  c: b\n")
        + "terms: {fit: {type: mse, inputs: [a0, y]}}\n"
    ),
    "a long derived name in many terms": lambda: numbered(
        "  t{}: {{type: value, inputs: [r]}}\n",
        12_000,
        f"frozen: [x, p]\nderive: {{r: {{from: p, apply: [{'{add: x}, ' * 48}]}}}}\nterms:\n",
    ),
    "many merges": lambda: f"a: &a {{x: 1}}\nb: {{{'<<: *a, ' * 32_000}}}",
}


def cost(document: bytes) -> tuple[float, float, list[str]]:
    """Seconds, MiB and the codes of reading a document, in a process of its own."""
    from lossreg import Registry
    from lossreg.config import examine

    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        registry = Registry.installed()
        examine(b"terms: {a: {type: mse}, b: {type: nll, weight: x}}", registry=registry)
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.process_time()
        found = examine(document, registry=registry, every=True).diagnostics
        seconds = time.process_time() - begin
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024
        longest = max((len(each.message) for each in found), default=0)
        codes = sorted({each.code for each in found}) + ["long"] * (longest > 700)
        os.write(write, json.dumps((seconds, memory, codes)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    seconds, memory, codes = json.loads(answer or '[20.0, 0.0, ["died"]]')
    return seconds, memory, codes


if __name__ == "__main__":
    import lossreg.config

    lossreg.config.examine(b"terms: {a: {type: mse}, b: {type: nll, weight: x}}")
    for name in sys.argv[1:]:
        document = DOCUMENTS[name]().encode()
        assert len(document) <= LARGEST, f"{name} is too large"
        print(json.dumps((name, *cost(document))), flush=True)  # noqa: T201
