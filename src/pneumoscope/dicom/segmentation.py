"""The heatmap as a fractional Segmentation over the film's own pixels.

A Parametric Map would carry heat in floating point, but highdicom 0.28 writes none for an image
without a position in the patient, which a projection never has. A Segmentation has 256 steps. Its
values are class activation, no probability of tissue: the segment's type has the modifier "Class
activation", and its description says so in words. There is one only where the result asserts the
disease: it names what the segment shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pneumoscope import __version__
from pneumoscope.dicom.result import MANUFACTURER, Result, series

STEPS = 255
_NOMINAL_THICKNESS = 1.0
_WHAT = (
    "Class activation of a model, 0 to 1 on the radiograph's pixels. It shows what the model used. "
    "It is not a probability of tissue and not the outline of a lesion."
)


def segmentation(result: Result) -> Any:
    """The heatmap of a result "present" as a Segmentation of one segment, 0 to `STEPS`.

    Pixel spacing is the film's; the frame of reference too, where the film has one.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    segment = SegmentDescription(
        segment_number=1,
        segment_label="Activation map",
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
        tracking_id="heatmap",
        tracking_uid=result.uid("heatmap"),
    )
    segment.SegmentDescription = _WHAT
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(result.quantity())]
    image = Segmentation(
        [_without_frame(result)],
        result.heatmap.astype(np.float32)[None],
        segmentation_type="FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=STEPS,
        segment_descriptions=[segment],
        pixel_measures=_measures(result),
        omit_empty_frames=False,
        content_label="HEATMAP",
        content_description="Heat, no probability. Research use only. Not verified.",
        **series(result, "seg", 1, "heatmap"),
    )
    image.PatientOrientation = list(result.source.orientation or ()) or None
    frame = result.source.dataset.get("FrameOfReferenceUID")
    if frame:
        image.FrameOfReferenceUID = frame
        image.PositionReferenceIndicator = None
    return image


def _measures(result: Result) -> Any:
    """Pixel Measures of the film; None where its spacing is unknown.

    A projection has no thickness, but readers, highdicom among them, demand a number above zero.
    """
    from highdicom import PixelMeasuresSequence

    if result.spacing is None:
        return None
    return PixelMeasuresSequence(pixel_spacing=result.spacing, slice_thickness=_NOMINAL_THICKNESS)


def _without_frame(result: Result) -> Any:
    """The film's dataset without a frame of reference, which highdicom takes for a position."""
    from pydicom import Dataset

    dataset = Dataset()
    for element in result.source.dataset:
        if element.keyword != "FrameOfReferenceUID":
            dataset.add(element)
    return dataset
