"""The built-in tasks. A new one is one module here and one line in this table."""

TASKS: dict[str, str] = {
    "tatoeba": "xrete.tasks.tatoeba:TASK",
    "flores": "xrete.tasks.flores:TASK",
    "bucc": "xrete.tasks.bucc:TASK",
    "lareqa": "xrete.tasks.lareqa:TASK",
    "mewslix": "xrete.tasks.mewslix:TASK",
    "flores-geometry": "xrete.tasks.flores_geometry:TASK",
    "xnli": "xrete.tasks.xnli:TASK",
    "americasnli": "xrete.tasks.americasnli:TASK",
    "pawsx": "xrete.tasks.pawsx:TASK",
    "xcopa": "xrete.tasks.xcopa:TASK",
    "multists": "xrete.tasks.multists:TASK",
    "qe": "xrete.tasks.qe:TASK",
    "multieurlex": "xrete.tasks.multieurlex:TASK",
    "multiarc": "xrete.tasks.multiarc:TASK",
}

FAMILIES: dict[str, str] = {"mteb": "xrete.tasks.mteb:FAMILY"}
"""Tasks that are named FAMILY:MEMBER."""
