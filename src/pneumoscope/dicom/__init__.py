"""DICOM: films chosen by their tags, and findings as objects that archives keep and viewers show.

Enters: DICOM films, and what inference said of them (pixels, heatmap, finding).
Leaves: Secondary Capture, Segmentation, Structured Report, Presentation State; a
node of the hospital's network that receives films and sends these objects.
May import: imaging, findings, bundles, inference, report; pydicom, highdicom, pynetdicom, jinja2;
starlette, uvicorn, prometheus-client. No torch.
"""
