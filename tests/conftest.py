"""Fixtures of all tests."""

from hypothesis import settings

settings.register_profile("xrete", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("xrete")

pytest_plugins = [
    "tests.isolation",
    "tests.running",
    "tests.ray_sweeps",
    "tests.factories",
    "tests.encoders",
    "tests.hub",
    "tests.devices",
    "tests.chat_server",
    "tests.tiny_runs",
    "tests.toys",
]
