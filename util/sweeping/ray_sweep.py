"""A sweep on Ray: each run is a task, on this machine or on a cluster.

All machines must see the scripts, the data and the results under the same paths (a shared folder)
and have the packages of requirements.txt.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from util.errors import UserError, first_line
from util.processes import ROOT
from util.sweeping.sweep import train_in_process

RETRIES = 3  # of a run whose worker was lost; it resumes after its last epoch


def check_ray(gpus_per_run, strategy):
    """UserError when Ray is not installed, when runs would get GPUs that they don't use, or when
    they would get too few GPUs to share batches among."""
    if find_spec("ray") is None:
        raise UserError('the package ray is not installed (--ray). Do: pip install "ray>=2.60,<3"')
    mirrored, several = strategy == "mirrored", (gpus_per_run or 1) > 1
    if several and not mirrored:
        raise UserError(
            f"a run uses one GPU (--gpus_per_run {gpus_per_run}). Add --strategy mirrored."
        )
    if mirrored and not several:
        raise UserError(
            "a run gets only one GPU (--strategy mirrored). "
            "Raise --gpus_per_run, or leave out --strategy."
        )


def train_on_ray(runs, address, gpus_per_run):
    """Train the unfinished runs as tasks of Ray; yields each run when its task has ended.

    `address` is that of a cluster; "" is the cluster of this machine, started if there is none.
    Each run gets `gpus_per_run` GPUs to itself, by default one if the cluster has any.
    """
    ray = connect(address)
    try:
        cpus, gpus = resources(ray, gpus_per_run)
        # one run per worker: a process that has held a model doesn't give its memory back
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=1)(train_in)
        waiting = {task.remote(run, str(Path.cwd())): run for run in runs if not run.metrics}
        while waiting:
            [ended], _ = ray.wait(list(waiting))
            run = waiting.pop(ended)
            try:
                ray.get(ended)
            except ray.exceptions.RayError as error:
                run.fail(f"lost by Ray: {first_line(error)}")
            yield run
    finally:
        ray.shutdown()


def train_in(run, folder):
    """Train a run from the folder in which the sweep was started: relative paths start there."""
    os.chdir(folder)
    train_in_process(run)


def connect(address):
    """Connect to a cluster and return Ray; UserError when it can't be reached."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends no usage statistics
    import ray

    folders = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {"env_vars": {"PYTHONPATH": folders}}
    try:
        ray.init(address or None, runtime_env=environment)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"can't reach Ray: {first_line(error)} (--ray {address}). "
            "Check the address, or start a cluster."
        ) from None
    return ray


def resources(ray, gpus_per_run):
    """Return (processors, GPUs) that a run has to itself. Without GPUs it has all processors of a
    machine (of the smallest), as a training uses them all."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = int(max(machine.get("GPU", 0) for machine in machines))
    gpus = min(1, most) if gpus_per_run is None else gpus_per_run
    if gpus > most:
        print(f"no machine of the cluster has {gpus} GPUs: runs wait for one", flush=True)
    cpus = [machine["CPU"] for machine in machines if machine.get("CPU", 0) >= 1]
    return 1 if gpus else int(min(cpus, default=1)), gpus
