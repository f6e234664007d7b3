"""A DICOM node: radiographs in by C-STORE, a queue on disk between, objects out by C-STORE.

Several threads share one queue: associations (`scp`) and STOW-RS requests (`stow`) put radiographs
in (`intake`), one worker reads them and puts objects in (`worker`), one sender takes objects out
(`sender`). `tally` counts, `http` and `clerk` tell the state. Whatever is in the queue survives a
kill at any moment.
"""

from pneumoscope.dicom.node.running import Node
from pneumoscope.dicom.node.settings import NodeSettings, Peer, TlsFiles, WebPeer, parse_destination

__all__ = ["Node", "NodeSettings", "Peer", "TlsFiles", "WebPeer", "parse_destination"]
