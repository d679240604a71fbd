"""How a scenario's claim was booked, and which causes its waterfall names."""

from __future__ import annotations

from pydantic import Field

from maxlib.core.config import Config
from maxlib.research.published.champion_config import ChampionPublished
from maxlib.research.published.wave_config import WavePublished


class PublishedConfig(Config):
    """The published arithmetic of a scenario. Its strategy's kind decides which part is read.

    Attributes
    ----------
    wave, champion : settings of the two bookkeepings
    causes : the waterfall's switches, by name and in order, as "confirmation" or "costs";
        null = all, in the order of spec §12.1
    """

    wave: WavePublished = WavePublished()
    champion: ChampionPublished = ChampionPublished()
    causes: tuple[str, ...] | None = Field(default=None, strict=False)
