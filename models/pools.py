"""Processes that work for a joblib engine: loky's on this machine, or those of a Dask or Ray cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, ShutdownExecutorError

from models.workers import Done, WorkerError, end_with

Call = tuple[Callable[..., Done], tuple[Any, ...], dict[str, Any]]  # as joblib.delayed makes them


class WorkerDied(Exception):  # noqa: N818 - not the user's error
    """A worker process ended while it had something to do."""


class Pool(Protocol):
    """Worker processes, started when first used; after :meth:`close` they start anew."""

    @property
    def workers(self) -> int:
        """How many there are."""
        ...

    def run(self, calls: Iterable[Call]) -> Iterator[Done]:
        """What comes of the calls, as it comes; raises WorkerDied where a worker ends before its call does."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class _Pool:
    """A joblib.Parallel that stays open, so that its workers stay."""

    deaths: tuple[type[BaseException], ...] = ()  # what joblib raises when a worker dies
    return_as = "generator_unordered"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._parallel: joblib.Parallel | None = None

    def _backend(self, stack: ExitStack) -> AbstractContextManager[Any]:
        """The configuration under which joblib.Parallel finds the workers; *stack* ends them."""
        raise NotImplementedError

    def run(self, calls: Iterable[Call]) -> Iterator[Done]:
        """What comes of the calls, as it comes."""
        calls = list(calls)
        try:
            try:
                yield from self._open()(calls)
            except ShutdownExecutorError:  # somebody else in this process has ended joblib's workers since
                self.close()
                yield from self._open()(calls)
        except self.deaths as error:
            raise WorkerDied(str(error)) from error

    def _open(self) -> joblib.Parallel:
        if self._parallel is None:
            with ExitStack() as stack:
                with self._backend(stack):
                    parallel = joblib.Parallel(return_as=self.return_as, batch_size=1, pre_dispatch="all")
                self._parallel = stack.enter_context(parallel)
                self._stack = stack.pop_all()
        return self._parallel

    def close(self) -> None:
        """End what was started."""
        self._stack.close()
        self._parallel = None


class Loky(_Pool):
    """Fresh processes on this machine, never forked, one thread each."""

    deaths = (BrokenProcessPool,)

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers

    def _backend(self, stack: ExitStack) -> AbstractContextManager[Any]:
        """Two processes at least: with one, joblib would run everything in this one."""
        stack.callback(_end_processes)
        # parcels are not worth a detour over joblib's temporary files
        orphans = {"initializer": end_with, "initargs": (os.getpid(),)}
        return joblib.parallel_config(
            "loky", n_jobs=max(self.workers, 2), inner_max_num_threads=1, max_nbytes=None, **orphans
        )


def _end_processes() -> None:
    """Of joblib, of which a process has one set, and their temporary folders."""
    executor = get_reusable_executor(reuse=True)
    getattr(executor, "terminate", executor.shutdown)(kill_workers=True)


class Dask(_Pool):
    """A Dask cluster: of the scheduler at *address*, or without one of *workers* processes started here."""

    answer_seconds = 20.0  # how long a scheduler may take to answer

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__()
        try:
            from distributed.client import FutureCancelledError
            from distributed.scheduler import KilledWorker
        except ImportError as error:
            raise ValueError(f"backend dask needs Dask: pip install 'edufog[cluster]' ({error})") from None
        self.deaths = (KilledWorker, FutureCancelledError)
        self._wanted, self._address = workers, address
        self._cores = 0

    @property
    def workers(self) -> int:
        """As many as wanted, or else as the cluster has cores, once it is known."""
        return self._wanted or self._cores or joblib.cpu_count()

    def _backend(self, stack: ExitStack) -> AbstractContextManager[Any]:
        from distributed import Client

        where = self._address or stack.enter_context(_local_cluster(self.workers))
        try:
            client = stack.enter_context(Client(where, timeout=self.answer_seconds, set_as_default=False))
        except OSError as error:
            raise WorkerError(f"no Dask scheduler answers at {where}: {error}") from error
        self._cores = sum(client.ncores().values())
        return joblib.parallel_config(_dask_backend()(client=client))


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """Processes of one thread each, quiet, with their files in a folder that goes with them."""
    from dask import config
    from distributed import LocalCluster

    options = {
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,
    }
    with TemporaryDirectory(prefix="edufog-dask-", ignore_cleanup_errors=True) as folder:
        # who tries again, and how often, is for the engine to say
        with config.set({"distributed.scheduler.allowed-failures": 0, "temporary-directory": folder}):
            cluster = LocalCluster(n_workers=workers, **options)
        with cluster:
            yield cluster


def _dask_backend() -> type[Any]:
    """joblib's backend for Dask, but a call whose worker dies ends, and no call ever runs in this process."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: Any) -> int:
            return max(super().effective_n_jobs(n_jobs), 2)  # with one, joblib would not ask the cluster at all

        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda ended: callback(ended.exception()) if ended.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Backend


class Ray(_Pool):
    """A Ray cluster: at *address*, or without one of *workers* processes started here."""

    return_as = "list"  # its backend has no other

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__()
        try:
            import ray.exceptions
            import ray.util.joblib
        except ImportError as error:
            raise ValueError(f"backend ray needs Ray: pip install ray ({error})") from None
        self.deaths = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError)
        self._wanted, self._address, self._cores = workers, address, 0

    @property
    def workers(self) -> int:
        """As many as wanted, or else as the cluster has cores, once it is known."""
        return self._wanted or self._cores or joblib.cpu_count()

    def _backend(self, stack: ExitStack) -> AbstractContextManager[Any]:
        import ray

        count = None if self._address else max(self.workers, 2)
        ray.init(self._address, num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        stack.callback(ray.shutdown)
        ray.util.joblib.register_ray()
        self._cores = int(ray.cluster_resources().get("CPU", 1))
        return joblib.parallel_config("ray", n_jobs=max(self.workers, 2))
