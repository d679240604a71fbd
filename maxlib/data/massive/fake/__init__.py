"""A vendor of one's own: REST and WebSocket on loopback, over a tape, with faults by config."""

from maxlib.data.massive.fake.config import FakeConfig, Plan
from maxlib.data.massive.fake.market import FakeMarket
from maxlib.data.massive.fake.server import FakeMassive, VirtualClock

__all__ = ["FakeConfig", "FakeMarket", "FakeMassive", "Plan", "VirtualClock"]
