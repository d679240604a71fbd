"""A clock that stands still until it is told."""

from maxlib.ops.clock import Clock

NS = 1_000_000_000


class FakeClock(Clock):
    """Clocks for tests; starts a thousand seconds after boot, at 10:00 ET on a trading day."""

    def __init__(self) -> None:
        self.boot = self.awake = 1000 * NS
        self.wall = 1_763_650_800 * NS  # 2025-11-20 15:00 UTC
        self.id = "boot-1"

    def wall_ns(self) -> int:
        return self.wall

    def boot_ns(self) -> int:
        return self.boot

    def awake_ns(self) -> int:
        return self.awake

    def boot_id(self) -> str:
        return self.id

    def advance(self, seconds: float) -> None:
        """Let time pass, awake."""
        for name in ("boot", "awake", "wall"):
            setattr(self, name, getattr(self, name) + int(seconds * NS))

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep."""
        self.boot += int(seconds * NS)
        self.wall += int(seconds * NS)
