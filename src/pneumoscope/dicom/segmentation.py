"""Segmentations on the radiograph's own pixels: the heatmap in steps, and regions as masks.

The heatmap is fractional. A Parametric Map would carry heat in floating point, but highdicom 0.28
writes none for an image without a position in the patient, which a projection never has. A
Segmentation has 256 steps. Its values are class activation, no probability of tissue: the segment's
type has the modifier "Class activation", and its description says so in words.

Many viewers refuse fractional Segmentations. The regions are a binary one, a segment each: where
the heat reaches the level from which a pixel belongs to a region.

There is one only where the result asserts the disease: it names what the segment shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope import __version__
from pneumoscope.components import connected_parts
from pneumoscope.dicom.result import MANUFACTURER, Result, series
from pneumoscope.findings import Region
from pneumoscope.findings.regions import region_level

STEPS = 255
_NOMINAL_THICKNESS = 1.0
_WHAT = (
    "Class activation of a model, 0 to 1 on the radiograph's pixels. It shows what the model used. "
    "It is not a probability of tissue and not the outline of a lesion."
)
_WHERE = (
    "Where the class activation of a model reaches its level for regions. It is not the outline of "
    "a lesion."
)


def segmentation(result: Result) -> Any:
    """The heatmap of a result "present" as a Segmentation of one segment, 0 to `STEPS`.

    Pixel spacing is the radiograph's; the frame of reference too, where the radiograph has one.
    """
    return _image(
        result,
        result.heatmap.astype(np.float32)[None],
        [_segment(result, 1, "Activation map", "heatmap", _WHAT)],
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=STEPS,
        content_label="HEATMAP",
        content_description="Heat, no probability. Research use only. Not verified.",
        **series(result, "seg", 1, "heatmap"),
    )


def region_segmentation(result: Result) -> Any:
    """The regions of a result "present" as a binary Segmentation, in the finding's order.

    A segment has the tracking UID of the report's group about its region.
    """
    regions = result.finding.regions
    segments = [
        _segment(result, number, f"Region {number}", f"region {number}", _WHERE)
        for number in range(1, len(regions) + 1)
    ]
    level = region_level(result.heatmap, result.info.region_threshold)
    masks = np.stack([_mask(result, region, level) for region in regions], axis=-1)[None]
    return _image(
        result,
        masks.astype(np.uint8),
        segments,
        segmentation_type="BINARY",
        content_label="REGIONS",
        content_description="Regions of heat. Research use only. Not verified.",
        **series(result, "regions", 4, "regions"),
    )


def _mask(result: Result, region: Region, level: float) -> NDArray[np.bool_]:
    """(height, width) the pixels of a region; its whole box where no heat reaches the level."""
    rows = slice(region.y, region.y + region.height)
    columns = slice(region.x, region.x + region.width)
    heat = result.heatmap[rows, columns]
    parts = connected_parts(heat >= level, corners=True)
    mask = np.zeros(result.heatmap.shape, dtype=bool)
    # Parts of other regions may reach into the box.
    own = int(parts.highest(heat).argmax()) if len(parts.area) else None
    mask[rows, columns] = True if own is None else parts.mask(own, heat.shape)
    return mask


def _segment(result: Result, number: int, label: str, name: str, what: str) -> Any:
    """What a segment is: class activation for the disease in the lung, by this model."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    segment = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=result.disease(),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=MANUFACTURER,
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
            source=result.finding.model,
            parameters={"heatmap": result.info.heatmap, "weights": result.model_digest},
        ),
        anatomic_regions=[codes.SCT.Lung],
        tracking_id=name,
        tracking_uid=result.uid(name),
    )
    segment.SegmentDescription = what
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(result.quantity())]
    return segment


def _image(result: Result, values: NDArray[Any], segments: list[Any], **attributes: Any) -> Any:
    from highdicom.seg import Segmentation

    image = Segmentation(
        [_without_frame(result)],
        values,
        segment_descriptions=segments,
        pixel_measures=_measures(result),
        omit_empty_frames=False,
        **attributes,
    )
    image.PatientOrientation = list(result.source.orientation or ()) or None
    frame = result.source.dataset.get("FrameOfReferenceUID")
    if frame:
        image.FrameOfReferenceUID = frame
        image.PositionReferenceIndicator = None
    return image


def _measures(result: Result) -> Any:
    """Pixel Measures of the radiograph; None where its spacing is unknown.

    A projection has no thickness, but readers, highdicom among them, demand a number above zero.
    """
    from highdicom import PixelMeasuresSequence

    if result.spacing is None:
        return None
    return PixelMeasuresSequence(pixel_spacing=result.spacing, slice_thickness=_NOMINAL_THICKNESS)


def _without_frame(result: Result) -> Any:
    """The dataset without a frame of reference, which highdicom takes for a position."""
    from pydicom import Dataset

    dataset = Dataset()
    for element in result.source.dataset:
        if element.keyword != "FrameOfReferenceUID":
            dataset.add(element)
    return dataset
