"""The machine that a run was made on: processor, cores, threads, GPU, memory, packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""The variables that say how many threads numerical libraries may use."""


def processor() -> str:
    """The name of the processor."""
    described = Path("/proc/cpuinfo")  # elsewhere platform knows it
    lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


def available_cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on Windows and macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Processor, cores, threads, GPU and system of this process."""
    torch = sys.modules.get("torch")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "available_cores": available_cores(),
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "torch_threads": torch.get_num_threads() if torch else None,
        "gpu": used_gpu(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


@cache
def packages() -> str:
    """Every installed package with its version, one a line, as ``pip freeze`` has it."""
    cards = [item.metadata for item in importlib.metadata.distributions()]  # which reads a file each time
    found = {str(card["Name"]): card["Version"] for card in cards}
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


def used_gpu() -> str:
    """The name of the GPU, if this process has computed on one."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(0)) if torch and torch.cuda.is_initialized() else ""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a process has spent since a moment.

    Attributes:
        cpu_seconds: Processor time of all its threads.
        gpu_seconds: Wall time times the GPUs in sight, if it has computed on a GPU.
        peak_memory_bytes: The most memory it has ever held; 0 where the system does not tell.
    """

    cpu_seconds: float
    gpu_seconds: float
    peak_memory_bytes: int


class CostClock:
    """Measures from when it is made on."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> Costs:
        """What has been spent so far."""
        torch = sys.modules.get("torch")
        gpus = torch.cuda.device_count() if torch and used_gpu() else 0
        wall = time.perf_counter() - self._wall
        return Costs(time.process_time() - self._cpu, wall * gpus, peak_memory())


def peak_memory() -> int:
    """The most memory in bytes that this process has held; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, whose getrusage also counts what the parent held when it started this process
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
