"""XRETE's models in other libraries' evaluations; each module needs the library that it is named after."""
