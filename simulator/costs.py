"""How long a piece of work takes alone, and the energy it adds above idle. Pure functions of profiles."""

from __future__ import annotations

from topologies.profiles import DeviceProfile, LinkProfile


def flops_per_s(device: DeviceProfile) -> float:
    """What a device sustains in training: its fp32 peak times its utilisation."""
    return device.flops_per_s * device.utilisation


def compute_seconds(device: DeviceProfile, flops: float) -> float:
    """The time of *flops* on an otherwise idle device."""
    return flops / flops_per_s(device)


def compute_joules(device: DeviceProfile, flops: float) -> float:
    """Energy above idle. Power is linear in the share of the processor used, from idle to busy, so only work counts."""
    return (device.busy_watts - device.idle_watts) * compute_seconds(device, flops)


def airtime_seconds(nbytes: float, bits_per_s: float) -> float:
    """How long bytes occupy a medium alone at a rate."""
    return 8 * nbytes / bits_per_s


def transmit_joules(link: LinkProfile, airtime_seconds: float) -> float:
    """The sender's energy above the radio's idle, by airtime."""
    return max(link.transmit_watts - link.idle_watts, 0.0) * airtime_seconds


def receive_joules(link: LinkProfile, airtime_seconds: float) -> float:
    """The receiver's energy above the radio's idle, by airtime."""
    return max(link.receive_watts - link.idle_watts, 0.0) * airtime_seconds
