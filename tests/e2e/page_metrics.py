#!/usr/bin/python3
"""page_metrics: format FILE | uses METRICS FILE: the exposition format, and who uses which names.

format: https://prometheus.io/docs/instrumenting/exposition_formats/, and promtool's naming rules: help
and type before the samples, each family once and in one piece, no sample twice, _total for
counters alone, base units.
"""
import json
import re
import sys

SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$')
NUMBER = re.compile(r"(NaN|[+-]Inf|[+-]?[0-9.]+(e[+-]?[0-9]+)?)$")
NAME = re.compile(r"\bshift_[a-z0-9_]+")


def families(path):
    kinds, helps, seen, last = {}, {}, set(), None
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert text.endswith("\n"), "the last line has no end"
    for n, line in enumerate(text.split("\n")[:-1], 1):
        where = f"line {n}: {line}"
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            assert name not in helps and text, where
            helps[name] = text
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in kinds and name in helps and kind in ("gauge", "counter"), where
            assert name.endswith("_total") == (kind == "counter"), where
            assert not re.search(r"_(ms|milliseconds|percent|minutes|kb)(_|$)", name), where
            kinds[name], last = kind, name
        else:
            m = SAMPLE.match(line)
            assert m and m[1] == last and NUMBER.match(m[4]), where
            assert not re.search(r'(^|,)(quantile|le)="', m[3] or ""), where
            assert (m[1], m[3]) not in seen, where
            seen.add((m[1], m[3]))
    assert len(seen) > 50, f"{len(seen)} samples"
    return kinds


def strings(j):
    if isinstance(j, dict):
        for k, v in j.items():
            if k in ("expr", "query", "definition"):
                yield v if isinstance(v, str) else json.dumps(v)
            yield from strings(v)
    elif isinstance(j, list):
        for v in j:
            yield from strings(v)


def main():
    kinds = families(sys.argv[2])
    if sys.argv[1] == "format":
        return
    with open(sys.argv[3], encoding="utf-8") as f:
        text = f.read()
    if sys.argv[3].endswith(".json"):
        text = "\n".join(strings(json.loads(text)))
    names = set(NAME.findall(text))
    assert len(names) > 10, f"only {names}"
    unknown = names - set(kinds)
    assert not unknown, f"no such metrics: {', '.join(sorted(unknown))}"
    # a counter is only looked at through a rate; a gauge never
    for name in re.findall(r"\b(?:rate|increase|irate)\((shift_[a-z0-9_]+)", text):
        assert kinds[name] == "counter", f"rate of the gauge {name}"
    for name in names:
        if kinds[name] == "counter":
            bare = re.findall(r"(?<!rate\()(?<!increase\()\b" + name + r"\b", text)
            assert not bare, f"the counter {name} without a rate"
    print(len(names), "names")


main()
