"""The progress line, the log, and pictures."""

from __future__ import annotations

import math

from trainer.engine import logs
from trainer.engine.checkpoint import RunState


def test_entries_after_the_checkpoint_and_cut_lines_are_dropped(tmp_path) -> None:
    log = logs.RunLog(tmp_path, 0)
    for step in range(1, 6):
        log.scalars("train", "one", RunState(step=step, run_steps=step), {"loss": 1.0 / step, "bad": math.nan})
    log.close()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"kind": "tra')
    assert [row["step"] for row in logs.read_log(tmp_path)] == [1, 2, 3, 4, 5]
    logs.RunLog(tmp_path, 3).close()
    rows = logs.read_log(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[1]["values"] == {"loss": 0.5, "bad": None}
