from setuptools import find_packages, setup

FOLDERS = {"xrete": "xrete", "xrete.tasks": "tasks", "xrete.models": "models", "xrete.results": "results"}
setup(
    packages=[
        package
        for name, folder in FOLDERS.items()
        for package in [name, *(f"{name}.{sub}" for sub in find_packages(folder))]
    ]
)
