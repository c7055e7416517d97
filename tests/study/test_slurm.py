"""Studies through a real Slurm of one node, started here: bundles, the queue, walltime, resume."""

import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from study.toy_studies import STEPS, steps_of, toy, write

import dipolar_md as dm
from dipolar_md.engines.choice import inspect_engine
from dipolar_md.errors import InputError

NEEDED = ("sbatch", "squeue", "scontrol", "slurmctld", "slurmd", "munged")
MISSING = [name for name in NEEDED if not shutil.which(name)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"needs a Slurm to start: no {', '.join(MISSING)} (Debian: slurm-wlm)"
)
CONFIGURATION = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:1 State=UNKNOWN
PartitionName=toy Nodes={host} Default=YES
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A controller and a node daemon of their own, ended by process id."""
    folder = tmp_path_factory.mktemp("slurm")
    host = socket.gethostname().split(".")[0]
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder, host=host, user=getpass.getuser(), ports=ports, cpus=os.cpu_count()
        )
    )
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # as far as Slurm can tell
    munge = {"key-file": "key", "socket": "socket", "log-file": "log"}
    munge |= {"pid-file": "pid", "seed-file": "seed"}
    lines = [
        ["munged", "-F", "--force", *(f"--{k}={folder}/munge.{v}" for k, v in munge.items())],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-N", host],
    ]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for line in lines:
            log = stack.enter_context((folder / f"{line[0]}.out").open("w"))
            process = subprocess.Popen(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            if line[0] == "munged":
                until(lambda: (folder / "munge.socket").exists())
        stack.callback(lambda: (asked("scancel", "--me"), until(empty)))
        until(lambda: asked("sinfo", "-h", "-o", "%T").strip() == "idle")
        yield folder


def asked(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def empty():
    return not asked("squeue", "--me", "--noheader").strip()


def until(true, limit=90):
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, asked("squeue")
        time.sleep(0.1)


@pytest.fixture
def closed(slurm):
    """Nothing starts in the partition until this is called."""

    def state(name):
        subprocess.run(["scontrol", "update", "PartitionName=toy", f"State={name}"], check=True)

    state("DOWN")
    yield lambda: state("UP")
    state("UP")


def test_bundles_wait_run_and_are_reported(closed, command, tmp_path):
    """Nothing that is queued is submitted again; what is added to the study meanwhile is."""
    out = tmp_path / "my study"
    file = write(toy([20.0, 30.0, 43.42]), tmp_path / "toy.toml")
    answer = command("study", "submit", file, "--out", out, "--bundle", 2)
    assert "3 jobs in 2 array tasks of up to 2, as Slurm job" in answer.words
    assert command("study", "status", file, "--out", out).words.endswith("in Slurm: 3 pending")
    answer = command("study", "submit", file, "--out", out)
    assert answer.words.endswith("nothing to submit: 3 jobs are in Slurm already")

    more = toy([20.0, 25.0, 30.0, 43.42])
    added = dm.submit_study(more, out, cpus=2)
    assert added.held == 3
    ((new,),) = added.tasks
    assert dm.study_status(more, out).jobs[new].point["dipole_D"] == 25.0
    assert dm.submit_study(more, out) == (None, None, [], 4)  # of two array jobs
    closed()
    until(empty)
    status = dm.study_status(more, out)
    assert status.counts == Counter(done=4)
    assert steps_of(out) == [STEPS] * 4
    assert len(list((out / "slurm").glob("*_*.log"))) == 3  # two tasks and one
    assert len(dm.report_study(more, out).means) == 4
    assert dm.submit_study(more, out) == (None, None, [], 0)
    assert "in Slurm" not in command("study", "status", file, "--out", out).words


@pytest.mark.parametrize("ended", ["scancel", pytest.param("walltime", marks=pytest.mark.validate)])
def test_a_task_that_has_to_stop_goes_on_in_the_next_submission(slurm, tmp_path, ended):
    time_ns = 16.0 if ended == "scancel" else 960.0  # some seconds, or some minutes
    study = toy([20.0], **{"stages.solution.time_ns": time_ns, "frame_interval_ns": 1.6})
    out = tmp_path / "out"
    first = dm.submit_study(study, out, walltime="00:02:01")  # Slurm counts whole minutes
    (run,) = out.glob("workspace/*")
    until(lambda: (run / "run" / "restart.gsd").exists())
    if ended == "scancel":  # what Slurm does before the walltime is over
        asked("scancel", "--batch", "--signal=TERM", first.slurm_id)
    until(empty, 500)
    assert "ExitCode=130:0" in asked("scontrol", "show", "job", first.slurm_id)
    assert dm.study_status(study, out).counts == Counter(interrupted=1)

    second = dm.submit_study(study, out)
    assert second.tasks == first.tasks
    until(empty, 500)
    assert dm.study_status(study, out).counts == Counter(done=1)
    one, two = dm.Run(run / "run").manifest["sessions"]
    steps = round(time_ns / 0.0008)
    assert 0 < one["last_step"] < steps
    assert (two["first_step"], two["last_step"]) == (one["last_step"], steps)  # nothing twice
    assert steps_of(out) == [list(range(0, steps + 1, 2000))]


def test_ranks_and_workers_stay_within_the_allocation(slurm, tmp_path):
    if os.cpu_count() < 2:
        pytest.skip("two ranks need two cores")
    study = toy([20.0, 43.42])
    given = dm.submit_study(study, tmp_path / "out", ranks=2)
    until(empty)
    assert dm.study_status(study, tmp_path / "out").counts == Counter(done=2)
    for path in (tmp_path / "out").glob("workspace/*/run"):
        assert dm.Run(path).manifest["sessions"][0]["ranks"] == 2
    shown = asked("scontrol", "show", "job", given.slurm_id)
    assert re.search(r"NumCPUs=2 NumTasks=1 CPUs/Task=2", shown)
    # mpiexec would have srun start the ranks, and a step waits for the cores that its task holds
    assert "launch task" not in (slurm / "slurmd.out").read_text()


def test_gpus_come_from_slurm(slurm, tmp_path):
    if inspect_engine("hoomd", "gpu").usable:
        pytest.skip("the GPU of this Slurm isn't real, and one is here")
    given = dm.submit_study(toy([20.0]), tmp_path / "out", gpus_per_job=1)
    until(empty)
    said = (tmp_path / "out" / "slurm" / f"{given.slurm_id}_0.log").read_text()
    assert "HOOMD-blue can't use it" in said  # but it is there


def test_what_slurm_refuses_is_quoted(slurm, command, tmp_path):
    with pytest.raises(InputError, match="invalid partition specified: nowhere"):
        dm.submit_study(toy([20.0]), tmp_path / "out", partition="nowhere")
    file = write(toy([20.0]), tmp_path / "toy.toml")
    answer = command("study", "submit", file, "--out", tmp_path / "out", "--partition", "nowhere")
    assert answer.code == 2
    assert "sbatch says: sbatch: error" in answer.err
    assert not (tmp_path / "out" / "slurm" / "submitted.json").exists()
