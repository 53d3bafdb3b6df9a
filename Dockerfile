# docker build -t switchboard-bot . && docker run --env-file .env -p 8080:8080 -v switchboard-bot:/data switchboard-bot
# The default is everything in one process; give `web`, `worker` or `migrate` instead for a process each.
# The digest is that of the tag, for all architectures; renew both together:
#   docker buildx imagetools inspect python:3.13-slim-trixie --format '{{.Manifest.Digest}}'
FROM python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
COPY requirements.lock /src/
RUN pip install --no-cache-dir -r /src/requirements.lock
COPY . /src
RUN pip install --no-cache-dir --no-deps --no-build-isolation /src && rm -r /src \
    && useradd --uid 10001 bot && install -d -o bot /data && install -d /flows
USER bot
# Modules of flows are found in /flows, and a SQLite database is made in /data: a volume hides nothing that is code.
ENV PYTHONPATH=/flows
WORKDIR /data
VOLUME /data
EXPOSE 8080
# A `worker` shows its health on METRICS_PORT; for one without it, and for commands that end, use --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-m", "bot.alive"]
ENTRYPOINT ["switchboard-bot"]
CMD ["serve"]
