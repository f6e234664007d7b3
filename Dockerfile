# pneumoscope serve. The token is mounted, never built in:
#   docker build -t pneumoscope .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
#     -v "$PWD/token:/run/secrets/token:ro" pneumoscope
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/pneumoscope \
    && /opt/pneumoscope/bin/pip install --no-cache-dir '.[serve]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 pneumoscope
COPY --from=build /opt/pneumoscope /opt/pneumoscope
ENV PATH=/opt/pneumoscope/bin:$PATH PNEUMOSCOPE_CACHE=/tmp/pneumoscope
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["pneumoscope", "serve", "--host", "0.0.0.0", "--token-file", "/run/secrets/token"]
