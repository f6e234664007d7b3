# Two images. The token is mounted, never built in.
#   docker build --target serve -t pneumoscope-serve .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
#     -v "$PWD/token:/run/secrets/token:ro" pneumoscope-serve
#   docker build --target node -t pneumoscope-node .      # see deploy/compose.yaml
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/pneumoscope \
    && /opt/pneumoscope/bin/pip install --no-cache-dir '.[serve,hospital]'

FROM python:3.12-slim AS base
RUN useradd --system --uid 10001 pneumoscope \
    && install -d -o pneumoscope -m 700 /var/lib/pneumoscope
COPY --from=build /opt/pneumoscope /opt/pneumoscope
ENV PATH=/opt/pneumoscope/bin:$PATH PNEUMOSCOPE_CACHE=/tmp/pneumoscope
USER 10001
STOPSIGNAL SIGTERM

FROM base AS node
EXPOSE 11112
VOLUME /var/lib/pneumoscope
# What the node writes of itself every 5 s: a call from 127.0.0.1 would count as a stranger's.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import json, time; node = json.load(open('/var/lib/pneumoscope/status.json')); assert time.time() - node['at'] < 30 and not node['problems'], node['problems']"]
ENTRYPOINT ["pneumoscope", "dicom-node", "--host", "0.0.0.0", "--queue", "/var/lib/pneumoscope"]

FROM base AS serve
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["pneumoscope", "serve", "--host", "0.0.0.0", "--token-file", "/run/secrets/token"]
