"""A search on a Slurm cluster: each job is one worker with one core. Run it where `sbatch` is: python slurm.py"""

from dask_jobqueue import SLURMCluster
from distributed import Client

import hpjax
from hpjax.cluster import WORKER_OPTIONS


def main() -> None:
    jobs = SLURMCluster(
        cores=1,
        processes=1,
        memory="4GB",
        walltime="02:00:00",
        # for a device each: job_extra_directives=["--gres=gpu:1"]
        worker_extra_args=WORKER_OPTIONS,
    )
    with jobs, Client(jobs) as client:
        jobs.scale(jobs=2)
        client.wait_for_workers(2)
        space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
        found = hpjax.tune(
            space, "digits", search="bohb", epochs=3, out="runs/slurm", executor=client
        )
        print(found.best)


if __name__ == "__main__":
    main()
