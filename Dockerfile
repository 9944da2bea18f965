# The images of wsroute: `sidecar`, `operator`, and `examples` with the apps of charts/examples.
# Each is a virtual environment from pinned requirements on a plain Python; none needs a shell.
ARG BASE=python:3.14-slim
# What builds the native relay engine; with none, or too old a Rust, the asyncio engine serves.
ARG RUST="cargo gcc libc6-dev"

# pip stands apart from the environment that it fills, so the images are without it.
FROM ${BASE} AS pip
RUN ["python3", "-m", "venv", "/opt/pip"]
RUN ["python3", "-m", "venv", "--without-pip", "/opt/wsroute"]
ENV PATH=/opt/pip/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PIP_QUIET=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

FROM pip AS wheel
ARG RUST
RUN test -z "$RUST" || { apt-get update -qq && apt-get install -qq --no-install-recommends $RUST; }
COPY requirements/build.txt .
RUN pip install --require-hashes --no-deps -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY operator operator
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

# Dependencies and project are layers of their own: a new version changes only the small one.
FROM pip AS sidecar-dependencies
ENV PIP_PYTHON=/opt/wsroute/bin/python
COPY requirements/sidecar.txt .
RUN pip install --require-hashes --no-deps -r sidecar.txt

FROM pip AS operator-dependencies
ENV PIP_PYTHON=/opt/wsroute/bin/python
COPY requirements/operator.txt .
RUN pip install --require-hashes --no-deps -r operator.txt

# The wheel has both planes; neither image carries the other's code.
FROM pip AS sidecar-project
ENV PIP_PYTHON=/opt/wsroute/bin/python
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --prefix /project /wheels/*.whl \
    && cd /project && rm -r bin/wsroute-operator bin/kubectl-wsroute \
        lib/python3*/site-packages/wsroute_operator lib/python3*/site-packages/wsroute_kubectl

FROM pip AS operator-project
ENV PIP_PYTHON=/opt/wsroute/bin/python
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps --prefix /project /wheels/*.whl \
    && cd /project && rm -r bin/wsroute-sidecar bin/kubectl-wsroute \
        lib/python3*/site-packages/wsroute_sidecar lib/python3*/site-packages/wsroute_kubectl

FROM ${BASE} AS sidecar
COPY --from=sidecar-dependencies /opt/wsroute /opt/wsroute
COPY --from=sidecar-project /project /opt/wsroute
ENV PATH=/opt/wsroute/bin:$PATH PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["wsroute-sidecar"]

FROM sidecar AS examples
COPY charts/examples /examples
ENTRYPOINT []

FROM ${BASE} AS operator
COPY --from=operator-dependencies /opt/wsroute /opt/wsroute
COPY --from=operator-project /project /opt/wsroute
ENV PATH=/opt/wsroute/bin:$PATH PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["wsroute-operator"]
