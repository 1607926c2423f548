"""The built-in tasks. A new one is one module here and one line in this table."""

TASKS: dict[str, str] = {
    "tatoeba": "xrete.tasks.tatoeba:TASK",
    "flores": "xrete.tasks.flores:TASK",
}
