"""How much others used, from readings that we write ourselves."""

import os

import pytest

from experiments.reality.noise import Reading, others_share, read, wait_for_quiet


def test_busy_minus_own_is_others():
    before, after = Reading(10.0, 100.0), Reading(12.0, 101.0)  # 2 s of 2 cores, 1 of these 4 s idle
    assert others_share(before, after, own_s=2.2, cores=2) == pytest.approx((4 - 1 - 2.2) / 4)


def test_rounding_never_gives_less_than_nothing():
    assert others_share(Reading(0.0, 0.0), Reading(1.0, 0.5), own_s=1.6, cores=2) == 0.0


def test_the_kernel_counts_idle_and_disc_waits_in_ticks(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 20 30 400 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert read(stat).idle_s == 450 / os.sysconf("SC_CLK_TCK")


def test_a_system_that_does_not_say(tmp_path):
    unknown = read(tmp_path / "absent")
    assert unknown.idle_s is None
    assert others_share(unknown, unknown, 0.0, 2) is None


def test_waiting_ends_with_the_noise_or_with_patience():
    cores = os.cpu_count() or 1
    slept: list[float] = []

    def readings(busy):
        idle = 0.0
        for step in range(100):
            yield Reading(0.25 * step, idle)
            idle += 0.25 * cores * (1 - (busy[step] if step < len(busy) else busy[-1]))

    noisy_then_quiet = readings([0.5, 0.5, 0.0])
    wait_for_quiet(0.04, 10.0, slept.append, lambda: next(noisy_then_quiet))
    assert slept == [0.25] * 3
    slept.clear()
    noisy = readings([0.5])
    wait_for_quiet(0.04, 1.0, slept.append, lambda: next(noisy))
    assert slept == [0.25] * 4
