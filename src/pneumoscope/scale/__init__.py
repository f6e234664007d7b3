"""Scale: archives of radiographs, found in by several processes or machines with Ray.

Enters: paths or object-store URIs, a file of `pneumoscope export`.
Leaves: a folder of Parquet files with one finding per row.
May import: imaging, findings, bundles, inference; ray and pyarrow inside functions. No torch.
"""

from pneumoscope.scale.parts import count_judged
from pneumoscope.scale.run import ArchiveSettings, predict_archive
from pneumoscope.scale.storage import is_uri, list_radiographs

__all__ = ["ArchiveSettings", "count_judged", "is_uri", "list_radiographs", "predict_archive"]
