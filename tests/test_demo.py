"""What `make demo` ends with (util/demo.py)."""

import json
import sys

from util import demo


def test_the_demo_ends_with_errors_pictures_and_what_to_do_next(small_run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", str(small_run)])
    demo.main()
    told = capsys.readouterr().out
    errors = json.loads((small_run / "metrics.json").read_text())["test"]
    assert f"{errors['n']} phantoms the model never saw" in told
    for name, part in (("this model", errors), ("median baseline", errors["baseline"])):
        low, high = part["mae_ci95"]
        assert f"  {name:15s}  {part['mae']:6.2f}   [{low:.2f}, {high:.2f}]\n" in told
    pictures = [line.strip() for line in told.splitlines() if line.endswith(".png")]
    assert pictures == sorted(str(path) for path in (small_run / "plots").glob("*.png"))
    assert pictures
    assert told.endswith(f"{demo.NEXT}\n")
