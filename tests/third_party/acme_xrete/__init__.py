"""A third party's plugins, as their package would be; `test_third_party.py` installs it."""

TASKS = {
    "animals": "acme_xrete.animals:TASK",
    "tatoeba": "acme_xrete.animals:NAMESAKE",
    "torn": "acme_xrete.torn:TASK",
}
MODELS = {"hash": "acme_xrete.hashing:MODEL"}
