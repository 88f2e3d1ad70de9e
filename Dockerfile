FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    DESCENT_DATA_DIR=/data \
    DESCENT_HOST=0.0.0.0

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin descent \
    && install --directory --owner descent --group descent /data

WORKDIR /descent
# Compiled here, once: a container could not keep what it compiles, and every process would do it anew at its start.
COPY requirements/serve.txt requirements/serve.txt
RUN pip install --no-cache-dir --root-user-action ignore --require-hashes -r requirements/serve.txt

COPY engine engine
COPY app app
COPY descent descent
RUN python -m compileall -q engine app \
    && NUMBA_CACHE_DIR=/descent/compiled python -m app.worker.warm

USER 10001:10001
VOLUME /data
EXPOSE 8000

# All in one: API and worker on SQLite in /data. docker-compose.yml starts them apart, on PostgreSQL.
# Compiled steps are loaded from where Numba may also write: the image's copy first, then what this machine's processor needs.
ENV NUMBA_CACHE_DIR=/tmp/compiled
ENTRYPOINT ["sh", "-c", "cp -r /descent/compiled /tmp/ && exec \"$@\"", "--"]
CMD ["python", "-m", "app"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-S", "-m", "app.health"]
