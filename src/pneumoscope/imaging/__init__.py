"""Imaging: from a file to a `Radiograph`, and from a radiograph to a model's input and back.

Enters: a path to PNG, JPEG, TIFF or DICOM.
Leaves: `Radiograph` (float32 pixels in [0, 1], bright = dense), `Letterbox` (the exact, invertible
map between a film's pixel grid and a model's square input), `model_input` (uint8), and an
`ImageError` that names the file and the remedy for anything else.
May import: numpy, Pillow, pydicom. No torch, no other room.
"""
