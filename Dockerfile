# One image for every process of ours: `docker run relentless hub`, `... predictor`, `... agents`.
# The model server in production is tensorflow/serving (configs/tfserving/), not this image.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements-setup.lock requirements.lock ./
RUN python -m venv /opt/relentless \
 && /opt/relentless/bin/pip install --no-cache-dir --require-hashes -r requirements-setup.lock \
 && UV_LINK_MODE=copy /opt/relentless/bin/uv pip install --no-cache --require-hashes \
    --python /opt/relentless/bin/python -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY agents agents
COPY configs configs
COPY mcp_server mcp_server
COPY models models
COPY proto proto
COPY sandbox sandbox
COPY serving serving
COPY store store
COPY tools tools
RUN /opt/relentless/bin/uv pip install --no-cache --no-deps --python /opt/relentless/bin/python . \
 && NUMBA_CACHE_DIR=/opt/relentless/cache /opt/relentless/bin/relentless setup

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 relentless \
 && useradd --uid 10001 --gid relentless --no-create-home --shell /usr/sbin/nologin relentless \
 && install -d -o relentless -g relentless /var/lib/relentless
COPY --from=build --chown=root:root /opt/relentless /opt/relentless
# numba takes a cache only where it may also write
COPY --from=build --chown=10001:10001 /opt/relentless/cache /opt/relentless/cache
ENV PATH=/opt/relentless/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/opt/relentless/cache \
    RELENTLESS_PATHS__STATE=/var/lib/relentless
USER 10001:10001
WORKDIR /var/lib/relentless
VOLUME /var/lib/relentless
# hub 8765, sandbox 8770, predictor 8780 (gRPC) and 8781 (feed), model server 8500 and 8501
EXPOSE 8765 8770 8780 8781 8500 8501
STOPSIGNAL SIGTERM
ENTRYPOINT ["relentless"]
CMD ["up", "--json"]
