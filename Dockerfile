# Two images from one file, both without compilers, pip or root:
#   docker build -t stroomwacht-optimizer .
#   docker build -t stroomwacht-controller --target controller .
# The base is the Python that the tests run on; everything compiled comes as wheels. tests/test_containers.py runs these
# steps and start commands in a clean virtual environment. docs/deploy.md says how the images are used.

FROM scratch AS sources
COPY pyproject.toml README.md LICENSE /
COPY controller /controller
COPY forecasting /forecasting
COPY interfaces /interfaces
COPY optimizer /optimizer
COPY simulations /simulations
COPY deploy /deploy

# Dependencies first: their layer changes only with the lock. The build backend comes hashed with the lock, so that the
# second step fetches nothing; afterwards neither it nor pip is needed.
FROM python:3.11-slim-bookworm AS controller-build
WORKDIR /src
RUN python -m venv /opt/stroomwacht
ENV PATH=/opt/stroomwacht/bin:$PATH
COPY requirements/controller.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/controller.txt
COPY --from=sources / ./
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation . \
    && pip check \
    && pip uninstall --yes editables hatchling pathspec pluggy tomlkit trove-classifiers pip

FROM python:3.11-slim-bookworm AS optimizer-build
WORKDIR /src
RUN python -m venv /opt/stroomwacht
ENV PATH=/opt/stroomwacht/bin:$PATH
COPY requirements/optimizer.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/optimizer.txt
COPY --from=sources / ./
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation . \
    && pip check \
    && pip uninstall --yes editables hatchling pathspec pluggy tomlkit trove-classifiers pip

FROM python:3.11-slim-bookworm AS controller
COPY --from=controller-build /opt/stroomwacht /opt/stroomwacht
RUN useradd --system --uid 10001 --home-dir /var/lib/stroomwacht --create-home stroomwacht
ENV PATH=/opt/stroomwacht/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/stroomwacht
VOLUME ["/var/lib/stroomwacht"]
# Unhealthy when the field process has completed no good scan lately; the first image may take 10 s.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=2 CMD ["stroomwacht", "controller", "doctor"]
ENTRYPOINT ["stroomwacht"]
CMD ["controller", "run", "/etc/stroomwacht/site.yaml"]

FROM python:3.11-slim-bookworm AS optimizer
COPY --from=optimizer-build /opt/stroomwacht /opt/stroomwacht
RUN useradd --system --uid 10001 --home-dir /var/lib/stroomwacht --create-home stroomwacht
# Threads: the solver has its own, and more of the linear algebra's only get in its way.
ENV PATH=/opt/stroomwacht/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    STROOMWACHT_HEARTBEAT=/var/lib/stroomwacht/heartbeat
USER 10001
WORKDIR /var/lib/stroomwacht
VOLUME ["/var/lib/stroomwacht"]
# Unhealthy when the main loop of whichever command runs here has not come round lately.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["stroomwacht", "optimizer", "health"]
ENTRYPOINT ["stroomwacht"]
CMD ["optimizer", "run", "--config", "/etc/stroomwacht/optimizer.yaml"]
