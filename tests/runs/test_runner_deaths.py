"""Ways to die. Whatever happens to a run, its end is orderly or noticed, and its record tells the truth."""

import json
import signal

import nbformat
import psutil
import pytest
from death_drill import LOOP, Drill
from patience import until

FINISH = "run.finish(metrics={'trades': 3})"


def alive(kernel):
    return kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE


def test_a_signal_ends_the_loop_in_order_and_the_exit_code_names_it(tmp_path):
    names = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
    drills = {signum: Drill(tmp_path / signum.name, LOOP, FINISH) for signum in names}  # side by side
    for signum, drill in drills.items():
        drill.ticking()
        psutil.Process(drill.pid).send_signal(signum)
    for signum, drill in drills.items():
        assert drill.end() == names[signum]
        record = drill.folder.record()
        assert record["status"] == "interrupted"
        assert record["error"] is None
        assert record["metrics"] == {"trades": 3}  # the cells after the loop ran too
        assert signum.name in drill.log()
        assert "flat" in drill.log()
        assert record["files"]["report"] == "report.html"


def test_a_signal_to_runner_and_kernel_together_stops_once(tmp_path):
    drill = Drill(tmp_path, LOOP, FINISH)
    kernel = drill.ticking()
    for process in (psutil.Process(drill.pid), kernel):  # as a service manager does it
        process.send_signal(signal.SIGTERM)
    assert drill.end() == 143
    assert drill.log().count("stopping") == 1
    assert drill.folder.record()["metrics"] == {"trades": 3}


def test_a_kernel_whose_runner_was_killed_ends_itself_in_order(tmp_path):
    drill = Drill(tmp_path, LOOP, FINISH)
    kernel = drill.ticking()
    assert drill.folder.record()["status"] == "running"
    psutil.Process(drill.pid).kill()
    assert drill.end() == -signal.SIGKILL
    until(lambda: not alive(kernel))
    lines = [json.loads(line)["msg"] for line in drill.log().splitlines()]
    told = next(i for i, msg in enumerate(lines) if "runner" in msg and "is gone" in msg)
    assert [msg for msg in lines if msg in ("stopping", "flat")] == ["stopping", "flat"]  # the first may come before
    assert lines[told + 1 :].count("tick") <= 2  # the one under way, and no more
    assert drill.folder.record()["status"] == "died"
    nbformat.read(drill.folder / "notebook.ipynb", as_version=4)  # still whole


def test_a_killed_kernel_is_a_failed_run(tmp_path):
    drill = Drill(tmp_path, LOOP, FINISH)
    drill.ticking().kill()
    assert drill.end() == 1
    record = drill.folder.record()
    assert record["status"] == "failed"
    assert record["error"]["type"] == "DeadKernel"
    assert record["error"]["cell"] == 4  # parameters, those of this run, opening, loop
    assert "failed" in nbformat.read(drill.folder / "notebook.ipynb", as_version=4).cells[0].source


def test_a_kernel_that_hangs_is_killed_and_the_run_failed(tmp_path):
    drill = Drill(tmp_path, LOOP, FINISH, settings=["session.hung_after_s=2"])
    kernel = drill.ticking()
    kernel.suspend()
    assert drill.end() == 1
    assert not alive(kernel)
    error = drill.folder.record()["error"]
    assert error["type"] == "Killed"
    assert "no sign of life for 2 s" in error["message"]


def test_a_loop_that_will_not_stop_is_killed_after_its_grace(tmp_path):
    deaf = "while True:\n    run.beat()\n    run.log.info('tick')\n    time.sleep(0.01)"
    drill = Drill(tmp_path, deaf, settings=["session.grace_s=0.5"])
    kernel = drill.ticking()
    psutil.Process(drill.pid).send_signal(signal.SIGTERM)
    assert drill.end() == 1
    assert not alive(kernel)
    record = drill.folder.record()
    assert record["status"] == "failed"
    assert "killed after a grace of 0.5 s" in record["error"]["message"]


def test_a_second_signal_shortens_the_grace(tmp_path):
    deaf = "while True:\n    run.beat()\n    run.log.info('tick')\n    time.sleep(0.01)"
    drill = Drill(tmp_path, deaf, settings=["session.grace_s=600"])
    drill.ticking()
    psutil.Process(drill.pid).send_signal(signal.SIGINT)
    until((drill.folder / "stop").exists)
    psutil.Process(drill.pid).send_signal(signal.SIGINT)
    assert drill.end() == 1  # long before its grace is over


@pytest.mark.parametrize("how", ["os._exit(7)", "raise SystemExit(0)"])
def test_a_notebook_that_leaves_early_is_no_success(tmp_path, how):
    drill = Drill(tmp_path, how, FINISH)
    assert drill.end() == 1
    record = drill.folder.record()
    assert record["status"] == "failed"
    assert record["error"]["type"] in ("DeadKernel", "EndedEarly")
    assert record["metrics"] == {}
