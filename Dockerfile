# The controller's image: the light install, without compilers, pandas or root.
#   docker build -t stroomwacht .
#   docker run -v ./site.yaml:/etc/stroomwacht/site.yaml:ro -v stroomwacht:/var/lib/stroomwacht stroomwacht
# The base is the Python that the tests run on; numpy and pydantic-core come as wheels.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/stroomwacht
ENV PATH=/opt/stroomwacht/bin:$PATH
# Dependencies first: this layer changes only with the lock.
COPY requirements/controller.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/controller.txt
COPY pyproject.toml README.md LICENSE ./
COPY controller controller
COPY forecasting forecasting
COPY interfaces interfaces
COPY optimizer optimizer
COPY simulations simulations
# The build backend came hashed with the lock, so nothing is fetched here; afterwards neither it nor pip is needed.
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation . \
    && pip check \
    && pip uninstall --yes editables hatchling pathspec pluggy tomlkit trove-classifiers pip

FROM python:3.11-slim-bookworm
COPY --from=build /opt/stroomwacht /opt/stroomwacht
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
