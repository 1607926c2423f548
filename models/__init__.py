"""The built-in models. A new one is one module here and one line in this table."""

MODELS: dict[str, str] = {
    "emmax": "xrete.models.emmax.plugin:MODEL",
    "xlmr": "xrete.models.xlmr:MODEL",
    "infoxlm": "xrete.models.infoxlm:MODEL",
    "hictl": "xrete.models.hictl:MODEL",
    "mbert": "xrete.models.mbert:MODEL",
    "xlm": "xrete.models.xlm:MODEL",
    "labse": "xrete.models.labse:MODEL",
    "sbert": "xrete.models.sbert:MODEL",
    "me5-small": "xrete.models.me5_small:MODEL",
    "use-m3": "xrete.models.use_m3:MODEL",
    "st": "xrete.models.st:MODEL",
    "hf": "xrete.models.hf:MODEL",
    "chatgpt": "xrete.models.chatgpt:MODEL",
}
