"""DICOM: radiographs chosen by their tags; findings as objects for archives and viewers.

Enters: DICOM radiographs, and what inference said of them (pixels, heatmap, finding).
Leaves: Secondary Capture, Segmentation, Structured Report, Presentation State; a node of the
hospital's network that receives radiographs and sends these objects.
May import: imaging, findings, bundles, inference, report; pydicom, highdicom, pynetdicom, jinja2;
starlette, uvicorn, prometheus-client. No torch.
"""
