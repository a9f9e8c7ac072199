"""The story of a model in the runtime, for people."""

from collections import Counter

from edgebig.records.runtime import RuntimeRecord, SegmentStory

# Reasons shared by many nodes are told once.
_MOST_NAMES = 3


def tell(record: RuntimeRecord) -> str:
    """What was taken over and gained, and why not the rest: lines of text."""
    shapes = ", ".join(f"{name} {list(shape)}" for name, shape in record.shapes.items())
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    verdict = "kernels are used" if record.kept else "onnxruntime's own graph is used"
    lines = [f"{record.model}, {shapes}, {threads}: {verdict}: {record.reason}."]
    lines += [line for segment in record.segments for line in _segment(segment)]
    if record.left:
        lines.append(f"{len(record.left)} nodes left to onnxruntime:")
        lines += _left(record)
    source = "verdicts from the cache" if record.from_cache else "measured now"
    lines.append(f"Built in {record.build_seconds:.1f} s ({source}).")
    return "\n".join(lines)


def tell_shortly(record: RuntimeRecord) -> str:
    """How much the kernels run: one line."""
    if not record.kept:
        return f"onnxruntime's own graph is used: {record.reason}"
    kept = [segment for segment in record.segments if segment.kept]
    nodes = sum(len(segment.nodes) for segment in record.segments) + len(record.left)
    groups = "1 segment" if len(kept) == 1 else f"{len(kept)} segments"
    return f"kernels run {sum(len(segment.nodes) for segment in kept)} of {nodes} nodes, in {groups}"


def _segment(segment: SegmentStory) -> list[str]:
    ops = ", ".join(f"{count} {op}" for op, count in sorted(segment.ops.items(), key=lambda item: -item[1]))
    state = "kept" if segment.kept else "not kept"
    return [
        f"{segment.name}, {state}: {segment.reason}.",
        f"  {len(segment.nodes)} nodes ({ops}) in {len(segment.steps)} steps, "
        f"{segment.arena_bytes / 1000:.0f} KB of activations.",
    ]


def _left(record: RuntimeRecord) -> list[str]:
    reasons = Counter(node.reason for node in record.left)
    lines = []
    for reason, count in reasons.most_common():
        names = [node.name or node.op for node in record.left if node.reason == reason]
        shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if count > _MOST_NAMES else "")
        lines.append(f"  {count}: {reason} ({shown})")
    return lines
