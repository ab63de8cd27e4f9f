"""What `textgym bench overhead` says is what metering and recording add."""

import time
from types import SimpleNamespace

import pytest

from textgym.benchmarks import overhead
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredVectorEnv


def toil(*_):
    sum(range(20_000))  # several times what a step of the environment takes


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch):
    monkeypatch.setattr(overhead, "_TOKENS_AT_ONCE", 80)  # warming up takes less time then, too


def test_it_measures_both_parts():
    found = overhead.measure(8, steps=20_000, rounds=3)
    assert found.lanes == 8
    assert found.recording > 0.0
    assert found.low <= found.high
    assert f"metering {found.metering:+.1%}" in str(found)


@pytest.mark.parametrize(("kind", "method"), [(MeteredVectorEnv, "step"), (Meter, "record")])
def test_a_slow_meter_is_found_out(kind, method, monkeypatch):
    usual, plain = getattr(kind, method), overhead.measure(8, steps=8_000, rounds=1)

    def slow(self, *args):
        toil()
        return usual(self, *args)

    monkeypatch.setattr(kind, method, slow)
    found = overhead.measure(8, steps=8_000, rounds=1)
    assert found.metering > plain.metering + 1.0
    assert found.recording < plain.recording + 1.0


@pytest.mark.parametrize("at", [0, 4_000, 7_992])
def test_what_metering_does_only_once_counts_too(at, monkeypatch):
    usual = Meter.spend

    def slow(self, steps):
        if (self.budget, self.steps) == (8_000, at):
            for _ in range(1_000):
                toil()
        usual(self, steps)

    monkeypatch.setattr(Meter, "spend", slow)
    assert overhead.measure(8, steps=8_000, rounds=1).metering > 1.0


def test_a_slow_record_is_found_out(monkeypatch):
    usual = overhead.append

    def slow(path, result):
        for _ in range(1_000):
            toil()
        usual(path, result)

    plain = overhead.measure(8, steps=8_000, rounds=1)
    monkeypatch.setattr(overhead, "append", slow)
    found = overhead.measure(8, steps=8_000, rounds=1)
    assert found.recording > plain.recording + 1.0


def test_waiting_for_the_disk_counts(monkeypatch):
    usual, waited = overhead.append, []

    def slow(path, result):
        waited.append(100.0)
        usual(path, result)

    clock = SimpleNamespace(process_time=time.process_time, perf_counter=lambda: time.perf_counter() + sum(waited))
    monkeypatch.setattr(overhead, "time", clock)
    monkeypatch.setattr(overhead, "append", slow)
    assert overhead.measure(8, steps=8_000, rounds=1).recording > 10.0


def test_the_report_has_a_line_for_each_number_of_lanes():
    lines = list(overhead.report(steps=5_000, rounds=1))
    assert "5,000 tokens" in lines[0]
    assert [int(line.split()[0]) for line in lines[1:]] == list(overhead.LANES)
