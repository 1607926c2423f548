"""What phase 2 of EMMA-X gains over its control, phase 1 continued for as many steps, by the records of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from xrete.lazy import np
from xrete.record import Record
from xrete.reporting.leaderboard import ALL, Measure, Subject
from xrete.reporting.tables.columns import ZERO_SHOT
from xrete.reporting.tables.record_index import RecordIndex
from xrete.scores.crossed import told


def gains(index: RecordIndex) -> Iterator[str]:
    """Says of each variant what it gains over its control, over languages and seeds.

    Records say which runs belong together: `variant` and `control` of `xrete.reporting.ablation`.
    """
    variants: dict[str, dict[int, Subject]] = defaultdict(dict)
    control_of: dict[str, str] = {}
    for subject in index.subjects:
        training = index.model(subject).training or {}
        variant, control, seed = (training.get(key) for key in ("variant", "control", "seed"))
        if isinstance(variant, str) and isinstance(control, str) and type(seed) is int:
            variants[variant][seed] = subject
            control_of[variant] = control
    for variant, control in control_of.items():
        if control != variant:
            yield from _gains(index, variants[variant], variants.get(control, {}))


def _gains(index: RecordIndex, runs: dict[int, Subject], controls: dict[int, Subject]) -> Iterator[str]:
    """Says what the runs of a variant, by seed, gain over those of its control."""
    first = runs[min(runs)]
    name = f"{setting.label} {first.label}" if (setting := first.setting) else first.label
    if stopped := sorted(seed for seed, run in runs.items() if (index.model(run).training or {}).get("stopped")):
        name += f" (stopped by its guard with seed {', '.join(map(str, stopped))})"
    seeds = sorted(runs.keys() & controls.keys())
    if not seeds:
        yield (
            f"{name}: what phase 2 gains is not known, since no record here is of its control, phase 1 continued "
            "for as many steps (a sweep runs it)."
        )
        return
    for task in sorted(index.tasks):
        for metric in index.metrics(task, ZERO_SHOT, None):
            measure = Measure(task=task, protocol=ZERO_SHOT, metric=metric)
            pairs = [[index.ranked(one[seed], measure) for one in (runs, controls)] for seed in seeds]
            if all(entries for pair in pairs for entries in pair):
                parts = _by_group([(own[0].record, other[0].record) for own, other in pairs])
                yield f"{name} against phase 1 continued for as many steps, {task}: {'; '.join(parts)}."


def _by_group(pairs: Sequence[tuple[Record, Record]]) -> list[str]:
    """Returns what the first of each pair gains over the second, for each group, of languages that all scored."""
    shared = set.intersection(*({*record.languages} for pair in pairs for record in pair))
    groups = {ALL: shared} | {name: shared & {*one.languages} for name, one in pairs[0][0].groups.items()}
    parts = []
    for group, codes in groups.items():
        if codes:
            rows = [
                [own.languages[c].score - other.languages[c].score for c in sorted(codes)] for own, other in pairs
            ]
            parts.append(f"{group} {told(np.array(rows))}")
    return parts
