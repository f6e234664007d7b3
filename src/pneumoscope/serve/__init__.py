"""Serve: a page on which radiographs are read, and the same as an HTTP API.

Enters: uploads (PNG, JPEG, TIFF, DICOM), a bundle, the server's settings.
Leaves: findings, radiographs and heatmaps over HTTP; the page's static files; metrics.
Inside: `routes` answer, `uploads` bound what comes in, `dispatcher` queues it for the processes
that compute (`lane`, `engine_process`), `store` keeps results and readings until they expire.
May import: imaging, findings, bundles, inference, report, dicom; fastapi, uvicorn. No torch.
"""
