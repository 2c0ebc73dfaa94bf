"""Hairstyles as ranges of numbers, used to draw random people's hair and to fit hair to photographs."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """Ranges of a hairstyle's numbers; lengths in metres. See ``Flow`` and ``Locks``.

    ``men``, ``women`` : relative frequency. ``top``, ``sides`` : length on top, and at the sides and behind. ``fade`` :
    share by which hair is shorter at the lower hairline. ``fringe`` : probability that the front falls over the
    forehead. ``curl`` : amplitude of waves, ``wave`` their length, ``wild`` their irregularity. ``ears`` : room for
    covered ears. ``bundle`` : probability of a bun or a tail. ``bulk`` : share of the length that is a closed body of
    hair on which the locks stand.
    """

    name: str
    men: float
    women: float
    top: Range
    sides: Range
    fade: Range = (0.0, 0.0)
    up: Range = (0.2, 0.4)
    bend: Range = (0.8, 1.0)
    radial: Range = (0.6, 1.0)
    forward: Range = (0.0, 0.2)
    backward: Range = (0.0, 0.2)
    sideways: Range = (0.0, 0.3)
    parting: Range = (-0.05, 0.05)
    gravity: Range = (0.8, 1.0)
    window: Range = (0.8, 1.1)
    cut: Range = (0.6, 0.6)
    volume: Range = (0.02, 0.035)
    width: Range = (0.008, 0.012)
    taper: Range = (0.7, 0.95)
    turn: float = 0.25
    fringe: float = 0.0
    curl: Range = (0.0, 0.002)
    wave: Range = (0.06, 0.12)
    wild: Range = (0.0, 0.001)
    ears: Range = (0.0, 0.0)
    tied: bool = False
    bundle: float = 0.0
    roll: float = 0.3
    bulk: float = 0.0


STYLES: tuple[Style, ...] = (
    Style("shaved", 0.5, 0.03, (0.0, 0.0), (0.0, 0.0)),
    Style("buzz", 1.0, 0.05, (0.006, 0.012), (0.003, 0.006), fade=(0.0, 0.4), up=(0.5, 0.8), width=(0.005, 0.007),
          window=(0.5, 0.6)),
    Style("crew", 1.6, 0.05, (0.020, 0.035), (0.006, 0.014), fade=(0.3, 0.8), up=(0.5, 0.85), forward=(0.2, 0.8),
          width=(0.005, 0.008), bend=(0.3, 0.8), turn=0.4),
    Style("side part", 2.0, 0.15, (0.06, 0.10), (0.015, 0.035), fade=(0.4, 0.85), up=(0.25, 0.5), sideways=(1.2, 2.2),
          radial=(0.3, 0.6), parting=(-0.05, 0.05), backward=(0.1, 0.7), width=(0.007, 0.011), turn=0.15,
          bend=(0.9, 1.1)),
    Style("slicked back", 0.8, 0.2, (0.08, 0.14), (0.03, 0.06), fade=(0.3, 0.85), up=(0.15, 0.4), radial=(0.0, 0.15),
          backward=(1.0, 1.0), sideways=(0.0, 0.2), gravity=(0.3, 0.6), turn=0.12, volume=(0.012, 0.03)),
    Style("quiff", 0.8, 0.1, (0.05, 0.08), (0.008, 0.02), fade=(0.4, 0.85), up=(0.6, 0.85), radial=(0.0, 0.2),
          backward=(0.7, 1.0), sideways=(0.0, 0.8), bend=(0.5, 0.9), volume=(0.04, 0.06), turn=0.25),
    Style("forward crop", 1.0, 0.1, (0.03, 0.055), (0.01, 0.025), fade=(0.4, 0.85), up=(0.3, 0.5), radial=(0.4, 0.8),
          forward=(0.6, 1.0), fringe=1.0, turn=0.3, width=(0.006, 0.010)),
    Style("messy", 1.0, 0.3, (0.04, 0.07), (0.02, 0.04), fade=(0.3, 0.85), up=(0.45, 0.75), turn=0.8,
          forward=(0.0, 0.6), fringe=0.5, bend=(0.6, 1.1), curl=(0.001, 0.005), wild=(0.001, 0.003), roll=0.8),
    Style("mop", 0.6, 0.3, (0.10, 0.16), (0.08, 0.13), up=(0.2, 0.4), fringe=0.7, ears=(0.012, 0.018), turn=0.3,
          curl=(0.0, 0.005), cut=(0.22, 0.27), window=(0.7, 0.95), width=(0.010, 0.014)),
    Style("pixie", 0.1, 0.9, (0.05, 0.08), (0.02, 0.045), fade=(0.0, 0.7), up=(0.25, 0.45), sideways=(0.3, 1.5),
          fringe=0.6, turn=0.35),
    Style("bob", 0.15, 1.6, (0.22, 0.30), (0.18, 0.24), up=(0.2, 0.35), sideways=(0.8, 1.6), radial=(0.3, 0.5),
          cut=(0.225, 0.30), ears=(0.013, 0.02), fringe=0.35, window=(0.65, 1.0), turn=0.08, width=(0.011, 0.016),
          volume=(0.02, 0.035), curl=(0.0, 0.004)),
    Style("long straight", 0.25, 2.0, (0.36, 0.52), (0.3, 0.45), up=(0.15, 0.3), sideways=(0.9, 1.8), radial=(0.2, 0.4),
          ears=(0.006, 0.018), fringe=0.25, window=(0.65, 1.15), turn=0.07, width=(0.012, 0.018), volume=(0.016, 0.03),
          curl=(0.0, 0.003)),
    Style("long wavy", 0.2, 1.8, (0.32, 0.48), (0.28, 0.42), up=(0.2, 0.4), sideways=(0.7, 1.6), radial=(0.2, 0.5),
          ears=(0.008, 0.02), fringe=0.2, window=(0.6, 1.1), turn=0.2, width=(0.010, 0.016), volume=(0.025, 0.05),
          curl=(0.004, 0.012), wave=(0.07, 0.14), wild=(0.0, 0.004)),
    Style("long behind the ears", 0.25, 0.8, (0.30, 0.46), (0.28, 0.42), up=(0.1, 0.25), sideways=(0.4, 1.4),
          radial=(0.1, 0.4), backward=(0.2, 0.8), window=(1.25, 1.6), turn=0.1, volume=(0.012, 0.022),
          width=(0.011, 0.016), curl=(0.0, 0.006)),
    Style("tied back", 0.15, 1.8, (0.22, 0.28), (0.14, 0.22), up=(0.05, 0.15), radial=(0.0, 0.1), backward=(0.2, 0.5),
          tied=True, turn=0.03, bundle=0.9, volume=(0.007, 0.016), width=(0.010, 0.015), taper=(0.3, 0.5), fringe=0.25),
    Style("afro short", 0.5, 0.35, (0.015, 0.03), (0.010, 0.02), fade=(0.0, 0.6), up=(0.95, 1.0), bend=(0.0, 0.1),
          turn=1.0, gravity=(0.0, 0.1), volume=(0.5, 0.5), width=(0.006, 0.010), taper=(0.5, 0.7), curl=(0.001, 0.002),
          wild=(0.001, 0.003), roll=1.6, bulk=0.6),
    Style("afro", 0.25, 0.5, (0.05, 0.11), (0.04, 0.09), fade=(0.0, 0.4), up=(0.92, 1.0), bend=(0.0, 0.15), turn=1.2,
          gravity=(0.0, 0.1), volume=(0.5, 0.5), width=(0.008, 0.013), taper=(0.4, 0.6), curl=(0.002, 0.004),
          wave=(0.02, 0.03), wild=(0.003, 0.006), roll=1.6, bulk=0.75),
    Style("curls", 0.5, 0.5, (0.06, 0.11), (0.03, 0.08), fade=(0.0, 0.5), up=(0.5, 0.8), bend=(0.6, 1.0), turn=0.8,
          fringe=0.5, curl=(0.005, 0.009), wave=(0.025, 0.04), wild=(0.002, 0.005), width=(0.007, 0.011),
          volume=(0.04, 0.07), roll=1.0, taper=(0.4, 0.7), cut=(0.25, 0.3), bulk=0.15),
    Style("long curls", 0.15, 1.0, (0.24, 0.36), (0.2, 0.32), up=(0.4, 0.7), bend=(0.8, 1.0), turn=0.6,
          sideways=(0.4, 1.2), ears=(0.01, 0.02), fringe=0.3, curl=(0.007, 0.013), wave=(0.035, 0.06),
          wild=(0.004, 0.009), width=(0.009, 0.013), volume=(0.05, 0.09), roll=1.0, window=(0.55, 0.95),
          taper=(0.4, 0.7)),
    Style("locs", 0.15, 0.2, (0.14, 0.30), (0.12, 0.28), up=(0.3, 0.5), turn=0.5, sideways=(0.0, 1.0),
          ears=(0.008, 0.016), curl=(0.001, 0.003), wild=(0.001, 0.002), width=(0.008, 0.011), taper=(0.0, 0.15),
          volume=(0.025, 0.045), window=(0.6, 1.0), roll=0.5, fringe=0.2),
)  # fmt: skip
