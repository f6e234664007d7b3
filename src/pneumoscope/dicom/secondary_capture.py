"""Secondary Capture: radiograph, heatmap and boxes as a colour picture, with text below it.

Heat is drawn only on a radiograph called positive: on others there is nothing that it would show.
Any viewer shows it. The radiograph keeps its own pixel grid, so that a place on the picture is the
same place on the radiograph; the text stands under it and hides nothing.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.dicom.result import Result, series

_LINE = 1.35
_LETTERS = 90
_DERIVATION = "Radiograph with the findings of a model: heat and boxes if positive, text below."
_BACKGROUND, _INK = (0, 0, 0), (255, 255, 255)


def secondary_capture(result: Result) -> Any:
    """The Secondary Capture of a result, RGB, uncompressed.

    Returns:
        pydicom dataset; its first `height` rows are the radiograph's.
    """
    from highdicom.sc import SCImage

    source = result.source.dataset
    picture = captioned(result)
    # highdicom asks for directions that many radiographs do not tell; they are replaced below.
    spacing: Any = result.spacing  # highdicom writes fractions, but declares whole numbers.
    image: Any = SCImage.from_ref_dataset(
        source,
        picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        pixel_spacing=spacing,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **series(result, "sc", 0, "overlay"),
    )
    image.PatientOrientation = list(result.source.orientation or ()) or None
    image.BurnedInAnnotation = "YES"
    image.ImageComments = result.lines()[-1]
    image.ConversionType = "WSD"
    image.DerivationDescription = _DERIVATION
    image.SourceImageSequence = [_source_image(source)]
    return image


def _source_image(source: Any) -> Any:
    """An item of Source Image Sequence: the radiograph, whose pixels keep their places."""
    from highdicom.sr import CodedConcept
    from pydicom import Dataset
    from pydicom.sr.codedict import codes

    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    item.SpatialLocationsPreserved = "YES"
    purpose = CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def captioned(result: Result) -> NDArray[np.uint8]:
    """(height + caption, width, 3): the overlay; under it colour bar and lines of text."""
    from PIL import Image, ImageDraw, ImageFont

    from pneumoscope.report.overlay import overlay, with_colour_bar

    height, width = result.pixels.shape
    if result.finding.positive:
        film = overlay(result.pixels, result.heatmap, result.finding.regions)
        film = with_colour_bar(film)
    else:
        film = overlay(result.pixels, np.zeros_like(result.heatmap))
    lines = [part for line in result.lines() for part in textwrap.wrap(line, _LETTERS)]
    size = _font_size(lines, width, height)
    font = ImageFont.load_default(size)
    step = round(_LINE * size)
    caption = Image.new("RGB", (width, step * len(lines) + size), _BACKGROUND)
    draw = ImageDraw.Draw(caption)
    for row, line in enumerate(lines):
        draw.text((size // 2, size // 2 + row * step), line, fill=_INK, font=font)
    return np.concatenate([film, np.asarray(caption)])


def _font_size(lines: list[str], width: int, height: int) -> int:
    """Letters of a fortieth of the radiograph, smaller where a line would not fit."""
    from PIL import ImageFont

    size = max(8, min(width, height) // 40)
    longest = max(ImageFont.load_default(size).getlength(line) for line in lines)
    return max(6, int(size * min(1.0, (width - size) / longest)))
