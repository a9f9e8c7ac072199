"""The one function that runs all segments."""

import hashlib
import inspect
from pathlib import Path

from edgebig.runtime.bridge import api, arenas, compute, operands, words


def test_the_file_changes_with_what_it_is_compiled_with() -> None:
    """Numba's cache looks at compute.py alone; so compute.py holds a digest of the rest."""
    sizes = (compute.ALIGN, compute.HUGE, arenas.SLOTS, operands.BASES, operands.OPERANDS, operands.OPERAND_BYTES)
    text = Path(inspect.getfile(words)).read_text(encoding="utf-8") + repr((sizes, sorted(api.SLOTS)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert digest == compute.BUILT_FROM, f'words.py or a size changed: write BUILT_FROM = "{digest}" in compute.py'


def test_the_record_has_no_holes() -> None:
    for prefix in ("KERNEL_", "TENSOR_", "CALL_"):
        places = sorted(v for k, v in vars(compute).items() if k.startswith(prefix) and k != f"{prefix}BYTES")
        assert places == list(range(0, getattr(compute, f"{prefix}BYTES"), 8)), prefix


def test_slots_are_where_onnxruntime_pins_them() -> None:
    """The last place of each version of the function table, from onnxruntime's own static_asserts."""
    last = {1: 101, 2: 118, 13: 224, 14: 238, 15: 254, 16: 265, 17: 275}
    assert api.SLOTS["ReleaseCustomOpDomain"].place == last[1]
    for name, slot in api.SLOTS.items():
        assert slot.place <= last[slot.version], name
        assert slot.version == 1 or slot.place > last[slot.version - 1], name
    assert len({slot.place for slot in api.SLOTS.values()}) == len(api.SLOTS)
    assert api.VERSION == 17
