"""EMMA-X: cross-lingual sentence encoders from semantic ranks (the paper is named in `xrete models emmax`)."""
