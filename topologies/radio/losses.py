"""How much of a radio signal is lost on its way, and how likely the way is clear. Pure functions.

Losses are in dB, distances in metres, carriers in hertz. The sources are 3GPP TR 38.901 (table 7.4.1-1 for losses,
7.4.2-1 for line of sight), IEEE 802.11-14/0980 (the TGax simulation scenarios), and WINNER II D1.1.2 (table 4-4 for
losses, 4-7 for line of sight). NLOS losses are never below those in line of sight, where the source says so.
"""

from __future__ import annotations

from math import exp, hypot, log10, pow

LIGHT_METRES_PER_S = 3e8  # as in the note on the breakpoint in TR 38.901
GROUND_METRES = 1.0  # the height that reflects, for users below 13 m: TR 38.901, note 1 of table 7.4.1-1


def inh_los_db(metres: float, hertz: float) -> float:
    """Indoor office in line of sight: TR 38.901 InH; *metres* in three dimensions, 1 to 150."""
    return 32.4 + 17.3 * log10(metres) + 20 * log10(hertz / 1e9)


def inh_nlos_db(metres: float, hertz: float) -> float:
    """Indoor office without line of sight: TR 38.901 InH."""
    return max(inh_los_db(metres, hertz), 38.3 * log10(metres) + 17.3 + 24.9 * log10(hertz / 1e9))


def breakpoint_metres(hertz: float, base_metres: float, user_metres: float) -> float:
    """Where the reflection from the ground makes the loss steeper: TR 38.901, note 1 of table 7.4.1-1."""
    return 4 * (base_metres - GROUND_METRES) * (user_metres - GROUND_METRES) * hertz / LIGHT_METRES_PER_S


def umi_los_db(ground_metres: float, hertz: float, base_metres: float = 10.0, user_metres: float = 1.5) -> float:
    """Street canyon in line of sight: TR 38.901 UMi; *ground_metres* along the ground, the heights of both ends."""
    metres, ghz = hypot(ground_metres, base_metres - user_metres), hertz / 1e9
    bend = breakpoint_metres(hertz, base_metres, user_metres)
    if ground_metres <= bend:
        return 32.4 + 21 * log10(metres) + 20 * log10(ghz)
    beyond = 9.5 * log10(bend**2 + (base_metres - user_metres) ** 2)
    return 32.4 + 40 * log10(metres) + 20 * log10(ghz) - beyond


def umi_nlos_db(ground_metres: float, hertz: float, base_metres: float = 10.0, user_metres: float = 1.5) -> float:
    """Street canyon without line of sight: TR 38.901 UMi."""
    metres = hypot(ground_metres, base_metres - user_metres)
    loss = 35.3 * log10(metres) + 22.4 + 21.3 * log10(hertz / 1e9) - 0.3 * (user_metres - 1.5)
    return max(umi_los_db(ground_metres, hertz, base_metres, user_metres), loss)


def uma_los_db(ground_metres: float, hertz: float, base_metres: float = 25.0, user_metres: float = 1.5) -> float:
    """City below the rooftops' antennas, in line of sight: TR 38.901 UMa."""
    metres, ghz = hypot(ground_metres, base_metres - user_metres), hertz / 1e9
    bend = breakpoint_metres(hertz, base_metres, user_metres)
    if ground_metres <= bend:
        return 28.0 + 22 * log10(metres) + 20 * log10(ghz)
    return 28.0 + 40 * log10(metres) + 20 * log10(ghz) - 9 * log10(bend**2 + (base_metres - user_metres) ** 2)


def uma_nlos_db(ground_metres: float, hertz: float, base_metres: float = 25.0, user_metres: float = 1.5) -> float:
    """City below the rooftops' antennas, without line of sight: TR 38.901 UMa."""
    metres = hypot(ground_metres, base_metres - user_metres)
    loss = 13.54 + 39.08 * log10(metres) + 20 * log10(hertz / 1e9) - 0.6 * (user_metres - 1.5)
    return max(uma_los_db(ground_metres, hertz, base_metres, user_metres), loss)


def tgax_db(metres: float, hertz: float, walls: int = 0) -> float:
    """Enterprise Wi-Fi through *walls* office walls: IEEE 802.11-14/0980, scenario 2."""
    return _tgax_db(metres, hertz, 10.0) + 7 * walls


def tgax_residential_db(metres: float, hertz: float, walls: int = 0, floors: int = 0) -> float:
    """Residential Wi-Fi through *walls* and *floors*: IEEE 802.11-14/0980, scenario 1."""
    through = 18.3 * pow(float(floors), (floors + 2) / (floors + 1) - 0.46)
    return _tgax_db(metres, hertz, 5.0) + through + 5 * walls


def _tgax_db(metres: float, hertz: float, bend: float) -> float:
    near = 40.05 + 20 * log10(hertz / 2.4e9) + 20 * log10(min(metres, bend))
    return near + (35 * log10(metres / bend) if metres > bend else 0.0)


def winner_a1_los_db(metres: float, hertz: float) -> float:
    """Between two devices in a room, both low: WINNER II scenario A1 (indoor), 3 to 100 m, 2 to 6 GHz."""
    return 18.7 * log10(metres) + 46.8 + 20 * log10(hertz / 5e9)


def winner_a1_nlos_db(metres: float, hertz: float) -> float:
    """Between a room and its corridor, through one wall: WINNER II scenario A1."""
    return max(winner_a1_los_db(metres, hertz), 36.8 * log10(metres) + 43.8 + 20 * log10(hertz / 5e9))


def log_distance_db(metres: float, reference_db: float, exponent: float, reference_metres: float = 1.0) -> float:
    """A loss of *reference_db* at *reference_metres*, and 10 times *exponent* dB more with every tenfold distance."""
    return reference_db + 10 * exponent * log10(metres / reference_metres)


def inh_mixed_sight(metres: float) -> float:
    """How likely two ends in a mixed office see each other: TR 38.901."""
    if metres <= 1.2:
        return 1.0
    return exp(-(metres - 1.2) / 4.7) if metres < 6.5 else 0.32 * exp(-(metres - 6.5) / 32.6)


def inh_open_sight(metres: float) -> float:
    """How likely two ends in an open office see each other: TR 38.901."""
    if metres <= 5:
        return 1.0
    return exp(-(metres - 5) / 70.8) if metres <= 49 else 0.54 * exp(-(metres - 49) / 211.7)


def umi_sight(metres: float) -> float:
    """How likely a user in the street sees the base station: TR 38.901 UMi."""
    return _street_sight(metres, 36.0)


def uma_sight(metres: float, user_metres: float = 1.5) -> float:
    """How likely a user, at a height up to 23 m, sees the base station: TR 38.901 UMa."""
    if metres <= 18:
        return 1.0
    above = ((user_metres - 13) / 10) ** 1.5 if user_metres > 13 else 0.0
    return _street_sight(metres, 63.0) * (1 + above * 1.25 * (metres / 100) ** 3 * exp(-metres / 150))


def _street_sight(metres: float, decay: float) -> float:
    return 1.0 if metres <= 18 else 18 / metres + exp(-metres / decay) * (1 - 18 / metres)


def winner_a1_sight(metres: float) -> float:
    """How likely two devices indoors see each other: WINNER II scenario A1."""
    if metres <= 2.5:
        return 1.0
    return 1 - 0.9 * pow(1 - pow(max(1.24 - 0.61 * log10(metres), 0.0), 3), 1 / 3)
