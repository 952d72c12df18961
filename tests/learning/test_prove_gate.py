"""A sample of what `make prove` does in full: the gate over simulated markets."""

import json

from prove_gate import SYMBOLS, a_year, study, wilson
from rich.console import Console


def test_where_there_is_nothing_to_learn_the_challenger_is_refused_with_the_reasons():
    record = study("permuted", 0)
    assert not record["promoted"]
    assert record["failed"]
    assert " must be " in record["words"]
    assert len(SYMBOLS) == 3
    json.dumps(record, allow_nan=False)


def test_a_year_of_worthless_challengers_judged_monthly_holds_none():
    assert a_year(0, every=30) == 0


def test_what_is_kept_is_not_judged_again(tmp_path):
    from prove_gate import code_hash, run

    kept = tmp_path / f"gate-{code_hash()}.jsonl"
    record = {"kind": "edge", "seed": 0, "promoted": True, "failed": [], "words": "", "seconds": 1.0}
    others = [{**record, "kind": kind, "promoted": False, "failed": ["x"]} for kind in ("no edge", "permuted")]
    kept.write_text("".join(json.dumps(r) + "\n" for r in [record, *others]) + '{"kind": "ed')
    figures = run(1, Console(quiet=True), years=0, workers=1, folder=tmp_path)
    assert (figures["edge"]["promoted"], figures["edge"]["interval"]) == (1, wilson(1, 1))
    assert figures["permuted"]["failed"] == {"x": 1}
