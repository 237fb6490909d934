"""The models that can be simulated: what each accepts, refuses, and bills for a picture."""

from dataclasses import dataclass, replace
from typing import Literal

from app.simulator.tokens import Fit, Patches, Tiles

Sampling = Literal["always", "without reasoning", "never"]
"""When a model accepts `temperature` and gives `logprobs`."""

_CHAT = ("none", "low", "medium", "high")
_NEWER_CHAT = (*_CHAT, "xhigh")

REASONING_STEP = 64
_REASONING = {"low": 64, "medium": 256, "high": 1_024, "xhigh": 2_048, "max": 4_096}
"""Rough number of tokens spent on one picture at each effort. No figures are published."""


@dataclass(frozen=True, slots=True)
class Model:
    """
    Attributes:
        name: including its version, as answers state it.
        image: how a picture's prompt tokens are counted.
        efforts: values of `reasoning_effort`; empty for a model that does not reason.
        default_effort: the effort where the call names none.
    """

    name: str
    image: Tiles | Patches
    efforts: tuple[str, ...] = ()
    default_effort: str = "none"
    sampling: Sampling = "always"

    @property
    def reasons(self) -> bool:
        return bool(self.efforts)

    def samples(self, effort: str | None) -> bool:
        """Whether it accepts `temperature` and `logprobs` at this effort."""
        if self.sampling == "without reasoning":
            return (effort or self.default_effort) == "none"
        return self.sampling == "always"

    def reasoning_tokens(self, effort: str | None, draw: float) -> int:
        """Tokens spent before the answer; `draw`, 0 to 1, varies them between half and one and a
        half times the usual number."""
        usual = _REASONING.get(effort or self.default_effort, 0) if self.reasons else 0
        return round(usual * (0.5 + draw) / REASONING_STEP) * REASONING_STEP


def _patched(
    percent: int,
    low: Fit,
    high: Fit,
    original: Fit | None = None,
    auto: Literal["high", "original"] = "high",
) -> Patches:
    return Patches(percent, low, high, original, auto)


_LARGE, _SMALL = Fit(2048, 6144), Fit(65_535, 1536)
_CAREFUL = Fit(2048, 2500)
_NEWEST = _patched(120, Fit(512), _CAREFUL, Fit(65_535), "original")
_GPT_5 = ("minimal", "low", "medium", "high")

_TABLE: dict[str, Model] = {
    "gpt-4o": Model("gpt-4o-2024-11-20", Tiles(85, 170)),
    "gpt-4o-mini": Model("gpt-4o-mini-2024-07-18", Tiles(2833, 5667)),
    "gpt-4.1": Model("gpt-4.1-2025-04-14", Tiles(85, 170)),
    "gpt-4.1-mini": Model("gpt-4.1-mini-2025-04-14", _patched(162, _LARGE, _LARGE)),
    "gpt-4.1-nano": Model("gpt-4.1-nano-2025-04-14", _patched(246, _SMALL, _SMALL)),
    "o4-mini": Model(
        "o4-mini-2025-04-16",
        _patched(172, _SMALL, _SMALL),
        ("low", "medium", "high"),
        "medium",
        "never",
    ),
    "gpt-5": Model("gpt-5-2025-08-07", Tiles(70, 140), _GPT_5, "medium", "never"),
    "gpt-5-mini": Model(
        "gpt-5-mini-2025-08-07", _patched(120, _SMALL, _SMALL), _GPT_5, "medium", "never"
    ),
    "gpt-5-nano": Model(
        "gpt-5-nano-2025-08-07", _patched(150, _SMALL, _SMALL), _GPT_5, "medium", "never"
    ),
    # From here on vendors' pages contradict each other about logprobs. The simulation follows the
    # newest of them: logprobs are given while the model does not reason.
    "gpt-5.1": Model("gpt-5.1-2025-11-13", Tiles(70, 140), _CHAT, sampling="without reasoning"),
    "gpt-5.2": Model(
        "gpt-5.2-2025-12-11",
        _patched(120, _LARGE, _LARGE),
        _NEWER_CHAT,
        sampling="without reasoning",
    ),
    **{
        name: Model(
            f"{name}-2026-03",
            _patched(120, _LARGE, _CAREFUL, Fit(6000, 10_000)),
            _NEWER_CHAT,
            sampling="without reasoning",
        )
        for name in ("gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano")
    },
    "gpt-5.5": Model(
        "gpt-5.5-2026-04-24",
        _patched(120, Fit(512), _CAREFUL, Fit(6000, 10_000), "original"),
        _NEWER_CHAT,
        "medium",
        "without reasoning",
    ),
    **{
        name: Model(
            f"{name}-{version}",
            _NEWEST,
            (*_NEWER_CHAT, "max"),
            "medium",
            "without reasoning",
        )
        for name, version in {
            "gpt-5.6-sol": "2026-07-09",
            "gpt-5.6-terra": "2026-07-09",
            "gpt-5.6-luna": "2026-07-09",
            "gpt-6-sol": "2026-09-22",
            "gpt-6-luna": "2026-09-22",
        }.items()
    },
    **{
        name: Model(
            f"{name}-{version}",
            _NEWEST,
            ("low", "medium", "high", "xhigh", "max"),
            "medium",
            "never",
        )
        for name, version in {
            "gpt-6-astra": "2026-09-03",
            "gpt-6.1-sol": "2026-09-29",
            "gpt-6.1-terra": "2026-09-29",
        }.items()
    },
}

NAMES: tuple[str, ...] = tuple(_TABLE)


def find_model(name: str) -> Model:
    """`gpt-4o`, or a version of it: `gpt-4o-2024-08-06`. Raises KeyError."""
    if name in _TABLE:
        return _TABLE[name]
    family = max((each for each in NAMES if name.startswith(f"{each}-20")), key=len, default=None)
    if family is None:
        raise KeyError(name)
    return replace(_TABLE[family], name=name)
