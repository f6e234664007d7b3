"""A DICOM node: films in by C-STORE, a queue on disk between, objects out by C-STORE.

Three threads share one queue: associations put films in (`scp`), one worker reads them and puts
objects in (`worker`), one sender takes objects out (`sender`). Whatever is in the queue survives a
kill at any moment.
"""

from pneumoscope.dicom.node.running import Node
from pneumoscope.dicom.node.settings import NodeSettings, Peer, TlsFiles, WebPeer, parse_destination

__all__ = ["Node", "NodeSettings", "Peer", "TlsFiles", "WebPeer", "parse_destination"]
