# The image of workers, sink, door, topic creation and simulator. Kafka and ClickHouse run elsewhere, so the embedded
# stack's extra (a Java runtime and the ClickHouse engine) stays out.
# The full image has a compiler, which faust-streaming needs where it has no wheel (ARM).
FROM python:3.13.11 AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tierstream
WORKDIR /src

# Dependencies in a layer of their own: they change less often than the sources.
COPY requirements-worker.lock ./
RUN /opt/tierstream/bin/pip install --require-hashes --no-deps -r requirements-worker.lock

COPY pyproject.toml README.md LICENSE ./
COPY topics topics
COPY streams streams
COPY agents agents
COPY analytics analytics
COPY tierstream tierstream
RUN /opt/tierstream/bin/pip install --no-deps . && /opt/tierstream/bin/pip check

FROM python:3.13.11-slim

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tierstream tierstream
COPY --from=build /opt/tierstream /opt/tierstream
ENV PATH=/opt/tierstream/bin:$PATH PYTHONUNBUFFERED=1

USER tierstream
# A `tierstream.toml` that is mounted here is read without further ado.
WORKDIR /var/lib/tierstream
ENTRYPOINT ["tierstream"]
CMD ["worker"]
