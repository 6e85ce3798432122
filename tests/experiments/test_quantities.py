import math

import pytest
from pydantic import TypeAdapter, ValidationError

from experiments.schema import quantities as q


@pytest.mark.parametrize(
    ("kind", "text", "si"),
    [
        (q.BITS_PER_S, "20 Mbit/s", 20e6),
        (q.BITS_PER_S, "20 Mbps", 20e6),
        (q.BITS_PER_S, "3 MB/s", 24e6),
        (q.BYTES_PER_S, "17 GB/s", 17e9),
        (q.SECONDS, "5 ms", 0.005),
        (q.SECONDS, "5ms", 0.005),
        (q.SECONDS, "10 min", 600.0),
        (q.SECONDS, "7 μs", 7e-6),
        (q.SECONDS, "1.5 h", 5400.0),
        (q.JOULES, "3.7 Wh", 13320.0),
        (q.JOULES, "2 kJ", 2000.0),
        (q.BYTES, "8 GiB", 8 * 2.0**30),
        (q.BYTES, "1 kB", 1000.0),
        (q.BYTES, "8 kbit", 1000.0),
        (q.HERTZ, "2.4 GHz", 2.4e9),
        (q.WATTS, "250 mW", 0.25),
        (q.METRES, "30 cm", 0.3),
        (q.FLOPS, "2 GFLOPs", 2e9),
        (q.FLOPS_PER_S, "166 GFLOPS", 166e9),
        (q.FLOPS_PER_S, "166 GFLOP/s", 166e9),
        (q.SECONDS, "-0", 0.0),
        (q.SECONDS, "1_000", 1000.0),
        (q.SECONDS, "2.5e-3 s", 0.0025),
        (q.SECONDS, 3, 3.0),
        (q.WATTS, 0, 0.0),
    ],
)
def test_quantities_become_si_to_the_last_bit(kind, text, si):
    assert kind.parse(text) == si


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (q.WATTS, "5 ms", "'5 ms' is a time; expected watts, such as 250 mW"),
        (q.BITS_PER_S, "20 MB", "'20 MB' is an amount of data; expected bits per second, such as 20 Mbit/s"),
        (q.BITS_PER_S, "2 GFLOP/s", "'2 GFLOP/s' is a work rate; expected bits per second, such as 20 Mbit/s"),
        (q.BYTES, "1 KB", "unknown unit 'KB' in '1 KB'; did you mean 'kB'?; expected bytes, such as 1 kB or 8 GiB"),
        (q.WATTS, "3 Mw", "unknown unit 'Mw' in '3 Mw'; did you mean 'mW' or 'MW'?; expected watts, such as 250 mW"),
        (q.METRES, "3 parsecs", "unknown unit 'parsecs' in '3 parsecs'; expected metres, such as 25 m"),
        (q.SECONDS, "soon", "expected seconds, such as 5 ms, got 'soon'"),
        (q.SECONDS, True, "expected seconds, such as 5 ms, got True"),
        (q.SECONDS, None, "expected seconds, such as 5 ms, got None"),
        (q.SECONDS, [1], "expected seconds, such as 5 ms, got [1]"),
        (q.SECONDS, "-5 ms", "must be >= 0, got -5 ms"),
        (q.HERTZ, 0, "must be > 0, got 0"),
        (q.SECONDS, math.nan, "must be finite, got nan"),
        (q.SECONDS, math.inf, "must be finite, got inf"),
        (q.SECONDS, "-.inf", "must be finite, got -.inf"),
        (q.SECONDS, "NaN", "must be finite, got NaN"),
        (q.SECONDS, "1e400", "must be finite, got 1e400"),
        (q.SECONDS, "1e99999999999 s", "must be finite, got 1e99999999999 s"),
        (q.SECONDS, 10**400, f"must be finite, got {str(10**400)[:40]}"),
    ],
)
def test_what_is_no_such_quantity_says_what_was_expected(kind, value, message):
    with pytest.raises(ValueError, match=r".") as error:
        kind.parse(value)
    assert str(error.value) == message


def test_annotated_types_convert_inside_models():
    assert TypeAdapter(dict[str, q.Watts]).validate_python({"idle": "250 mW"}) == {"idle": 0.25}
    with pytest.raises(ValidationError, match="expected metres"):
        TypeAdapter(q.Metres).validate_python("5 ms")


def test_the_end_of_a_field_name_tells_its_kind():
    assert q.kind_of("idle_watts") is q.WATTS
    assert q.kind_of("up_bits_per_s") is q.BITS_PER_S
    assert q.kind_of("memory_bytes_per_s") is q.BYTES_PER_S
    assert q.kind_of("memory_bytes") is q.BYTES
    assert q.kind_of("infrastructure_joules_per_byte") is None
    assert q.kind_of("utilisation") is None
