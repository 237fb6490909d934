# docker build -t enhanced-image-classifier .
# docker run -p 8000:8000 -v $(pwd)/config:/app/config enhanced-image-classifier
#
# Only /app/data is written, so it also runs with --read-only. See docs/deployment.md.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder

COPY requirements.txt requirements-postgres.txt /build/
# The environment holds the dependencies and nothing else, not even pip.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --require-hashes --only-binary :all: --no-compile --no-cache-dir --disable-pip-version-check \
        -r /build/requirements.txt -r /build/requirements-postgres.txt
COPY app /app/app
# Never compared with the sources' times again: nobody changes these.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app/app


FROM ${PYTHON_IMAGE}

# Whom TLS trusts is what the system trusts.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
RUN groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --no-create-home --home-dir /nonexistent --no-log-init app \
    && install --directory --owner app --group app /app/data

WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app/app app
COPY config config
COPY LICENSE NOTICE ./

# Uploads over 1 MB pass through TMPDIR; what is written there is never seen in the folder.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/app/data \
    ORT_DISABLE_TELEMETRY=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    ALLOW_ANONYMOUS=true \
    LOG_RENDERER=json

USER 10001:10001
VOLUME /app/data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('localhost', int(os.environ['PORT']), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]

# The process itself, without a shell, so that SIGTERM reaches it.
CMD ["python", "-m", "app", "serve"]

# Last, for they change with every commit: all above stays in the cache.
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Enhanced image classifier" \
    org.opencontainers.image.description="Image classification service: classes by domain, confidence, and human review" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
