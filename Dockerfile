# syntax=docker/dockerfile:1
# SCALPEL on the CPU. Build: `docker build -t scalpel .`
# Run: `docker run --rm -p 127.0.0.1:8000:8000 scalpel --insecure-no-keys`

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/scalpel
ENV PATH=/opt/scalpel/bin:$PATH
# torch first and alone: it is by far the largest layer, and changes least. Without a GPU in sight this asks for the
# `+cpu` build, which PyTorch's own index of CPU wheels has: name it with
# `docker build --build-arg PIP_EXTRA_INDEX_URL=...`, or the default build with its CUDA libraries is installed.
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /src
COPY scripts/install_torch.py scripts/
RUN python scripts/install_torch.py
COPY pyproject.toml README.md LICENSE ./
COPY breakers breakers
COPY classifiers classifiers
COPY evaluation evaluation
COPY server server
RUN pip install .

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin scalpel
COPY --from=build /opt/scalpel /opt/scalpel
ENV PATH=/opt/scalpel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp
USER 10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
# Without API keys the server binds beyond loopback only if it is told so: pass --insecure-no-keys when starting the
# container, and publish the port on 127.0.0.1 (deploy/compose.yaml does both).
ENTRYPOINT ["scalpel", "serve", "--host", "0.0.0.0"]
