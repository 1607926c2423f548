"""Where task data comes from: a folder of upstream files, the hub (pinned), or the embedded mini sample."""

from xrete.sources.folder import Folder
from xrete.sources.hub import Hub, HubData
from xrete.sources.mini import Mini

Source = Folder | Hub | Mini

__all__ = ["Folder", "Hub", "HubData", "Mini", "Source"]
