"""How do several machines train one study? Blocks are tasks of a Dask cluster, and weights stay where they were trained."""

from hpjax.cluster.functions import spread
from hpjax.cluster.pool import Cluster, Pool, pooled
from hpjax.cluster.start import WORKER_OPTIONS

__all__ = ["WORKER_OPTIONS", "Cluster", "Pool", "pooled", "spread"]
