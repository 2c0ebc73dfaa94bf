"""The engine with instant people: workers that die, machines that go, stopping; on this machine and on Ray."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backend.batch.engine import Engine
from backend.batch.make_head import Task
from backend.batch.manifest import Person
from backend.batch.records import Outcome
from backend.batch.workers import LocalWorker, WorkerNeeds
from backend.errors import LikenessError
from backend.models.registry import Stamp, current_stamp
from backend.progress import ProgressReporter

ROOT = Path(__file__).resolve().parents[3]
SMALL = WorkerNeeds(memory=50_000_000)
FEW = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "memory": 10**9}
BUSY = 2.0
"""Seconds that a machine with other work may take longer for what takes none."""


def made_up(task: Task, progress: ProgressReporter) -> Outcome:
    """Stands for ``make_head``: does what the person's name says, and notes that it was done."""
    kind = task.person.name.split("_")[0]
    begun = Path(task.out) / f"{task.person.name}.begun"
    with begun.open("a") as file:
        file.write("x")
    if kind == "killer" or (kind == "once" and len(begun.read_text()) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "slow":
        for _ in range(600):
            time.sleep(0.1)
            progress("texture", 0.5)
    if kind == "deaf":
        time.sleep(60)
    time.sleep(0.05)
    with (Path(task.out) / f"{task.person.name}.made").open("a") as file:
        file.write("x")
    return Outcome(name=task.person.name, status="done", worker=str(os.getpid()))


def tasks(folder: Path, *names: str, stamp: Stamp | None = None) -> list[Task]:
    stamp = stamp or current_stamp()
    return [Task(Person(name=name, line=n, sources=()), str(folder), stamp) for n, name in enumerate(names, 1)]


def made(folder: Path) -> dict[str, int]:
    """Person -> how often they were made."""
    return {path.stem: len(path.read_text()) for path in folder.glob("*.made")}


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def engine(workers: int = 2, time_limit: float = 60.0, notices: list[str] | None = None) -> Engine:
    return Engine(LocalWorker, workers, time_limit, (lambda _: None) if notices is None else notices.append)


@pytest.fixture(scope="module")
def farm() -> Iterator[Any]:
    """Two machines of one core each, as far as Ray sees."""
    pytest.importorskip("ray", reason="needs Ray (the extra farm)")
    import ray
    from ray.cluster_utils import Cluster

    from backend.batch import ray_workers  # noqa: F401  # sets what Ray reads when it is imported

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **FEW})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_everybody_is_made_once_whatever_others_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    notices: list[str] = []
    names = ["a", "killer_1", "b", "once_1", *(f"p{n}" for n in range(20))]
    told = list(engine(notices=notices)(tasks(tmp_path, *names), made_up))
    assert Counter(outcome.name for outcome in told) == Counter(names)
    outcomes = {outcome.name: outcome for outcome in told}
    failed = {name for name, outcome in outcomes.items() if outcome.status == "failed"}
    assert failed == {"killer_1"}
    assert made(tmp_path) == {name: 1 for name in names if name not in failed}
    assert outcomes["killer_1"].attempts == 2 and "2 workers ended" in outcomes["killer_1"].reason
    assert outcomes["once_1"].attempts == 2 and outcomes["once_1"].status == "done"
    assert sum("done again" in notice for notice in notices) == 2
    assert len({outcome.worker for outcome in outcomes.values() if outcome.status == "done"}) >= 2
    assert capfd.readouterr() == ("", "")


def test_a_person_who_takes_too_long_is_given_up(tmp_path: Path) -> None:
    outcomes = {o.name: o for o in engine(time_limit=4.0)(tasks(tmp_path, "slow_1", "a", "b"), made_up)}
    assert outcomes["slow_1"].status == "failed" and "longer than" in outcomes["slow_1"].reason
    assert outcomes["a"].status == outcomes["b"].status == "done"


def test_an_error_of_the_engine_itself_ends_the_batch(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="done again"):
        list(Engine(LocalWorker, 2, 60.0, {}.pop)(tasks(tmp_path, "once_1", "a"), made_up))  # no notice is told


def test_stopping_lets_workers_end_cleanly(tmp_path: Path) -> None:
    outcomes = engine()(tasks(tmp_path, "slow_1", "a", "slow_2"), made_up)
    assert next(outcomes).name == "a"
    wait_for(tmp_path / "slow_1.begun")
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 7  # a stopped worker says so; others are waited for longer
    assert made(tmp_path) == {"a": 1}


def test_a_worker_that_does_not_listen_is_killed_after_two_seconds(tmp_path: Path) -> None:
    outcomes = engine()(tasks(tmp_path, "deaf_1", "a"), made_up)
    assert next(outcomes).name == "a"
    wait_for(tmp_path / "deaf_1.begun")
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 2 + BUSY
    assert made(tmp_path) == {"a": 1}


def test_nothing_heavy_is_loaded_before_the_first_head() -> None:
    """So that a run that finds everything done is quick, and a worker of a busy machine is soon there."""
    program = (
        "import sys, backend.batch.ray_workers, backend.batch.command; print(*{'torch', 'cv2'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_workers_with_another_version_are_refused(farm: Any, tmp_path: Path) -> None:
    from backend.batch.ray_workers import RayWorker, cluster

    node = farm.add_node(num_cpus=1, **FEW)
    notices: list[str] = []
    other = Stamp("another", "version", current_stamp().packages)
    with cluster(farm.address), pytest.raises(LikenessError, match="No worker") as problem:
        list(Engine(partial(RayWorker, SMALL, other), 2, 60.0, notices.append)(tasks(tmp_path, "a"), made_up))
    assert problem.value.code == "missing_part"
    assert "another version of Likeness" in notices[0]
    assert made(tmp_path) == {}
    farm.remove_node(node)


def test_a_machine_that_goes_away_takes_nobody_with_it(farm: Any, tmp_path: Path) -> None:
    from backend.batch.ray_workers import RayWorker, cluster, ray_rooms

    leaving = farm.add_node(num_cpus=1, **FEW)
    farm.add_node(num_cpus=1, **FEW)
    with cluster(farm.address):
        assert sum(ray_rooms(SMALL)) == 2
        names = ["once_1", *(f"p{n}" for n in range(40))]
        ended: list[Outcome] = []
        hire = partial(RayWorker, SMALL, current_stamp())
        for outcome in Engine(hire, 2, 60.0)(tasks(tmp_path, *names), made_up):
            ended.append(outcome)
            if len(ended) == 10:
                farm.remove_node(leaving, allow_graceful=False)
    assert Counter(outcome.name for outcome in ended) == Counter(names)
    assert all(outcome.status == "done" for outcome in ended)
    assert set(made(tmp_path)) == set(names)
