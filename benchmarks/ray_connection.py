"""A connection to a Ray cluster, or a small cluster of one's own on this machine while it is needed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from textgym.errors import ConfigurationError, missing_dependency

from .machine import available_cores

ANSWER_SECONDS = 20.0
_CONNECT_SECONDS = 5.0
_STORE_BYTES = 160 * 1024**2  # of shared memory; what does not fit goes to the disk
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # GPUs stay visible, as they are to processes of one's own
    "RAY_worker_niceness": "0",  # workers of a cluster of one's own yield to nobody, as processes do
}
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='error'); ray.shutdown()"
_ADVICE = (
    "Check that the cluster runs (`ray status` on its head node), that the port is the one that `ray start --head` "
    "printed, that no firewall is between, and that this machine is itself a node of it (`ray start --address ...`)"
)


def import_ray() -> Any:
    """Ray, set to send nothing home.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise missing_dependency("ray", "ray", "the executor 'ray'") from error
    return ray


@contextlib.contextmanager
def connected(address: str | None = None, cores: int | None = None) -> Iterator[Any]:
    """Ray, connected; a connection that was there before is used and left open.

    Args:
        address: "HOST:PORT" of a cluster's head node, or "auto" for one that this machine belongs to; by default the
            variable ``RAY_ADDRESS``, and without that a new cluster on this machine, which ends with the connection.
        cores: Of a new cluster; by default all that this process may use.

    Raises:
        ConfigurationError: if nothing answers at the address within 20 seconds, or Ray cannot start.
        MissingDependencyError: if Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        _check_same(ray, address)
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": cores or available_cores(), "object_store_memory": _STORE_BYTES}
        options["include_dashboard"] = False
    else:
        check_answers(address)
    with _sigterm_kept():
        try:
            ray.init(address, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = "on this machine" if address == "local" else f"at {address!r}"
            raise ConfigurationError(f"Ray could not be started {where}: {error}") from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _check_same(ray: Any, address: str | None) -> None:
    present = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", "local", present):
        raise ConfigurationError(
            f"this process is connected to the Ray cluster {present!r}, not {address!r}; call ray.shutdown() first"
        )


def check_answers(address: str, *, seconds: float = ANSWER_SECONDS) -> None:
    """Looks whether a cluster answers: another process tries first, since a connection to the wrong port may hang.

    Raises:
        ConfigurationError: if it does not, saying what to check.
    """
    if address != "auto":
        _check_port(address)
    try:
        found = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"no Ray cluster answered at {address!r} within {seconds:g} s. {_ADVICE}") from None
    if found.returncode != 0:
        said = [line for line in found.stderr.splitlines() if line.strip()][-1:] or ["it ended without a word"]
        raise ConfigurationError(f"no Ray cluster could be used at {address!r}: {said[0].strip()}. {_ADVICE}")


def _check_port(address: str) -> None:
    host, separator, port = address.rpartition(":")
    if "://" in address or not separator or not host or not port.isdigit():
        raise ConfigurationError(
            f"address={address!r}: expected HOST:PORT of the head node, such as 10.0.0.1:6379, or auto; run the "
            "comparison on a machine of the cluster (Ray Client, ray://, is not supported)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"nothing answers at the Ray address {address!r} ({error}). {_ADVICE}") from None


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes the handler of SIGTERM for itself and does not give it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
