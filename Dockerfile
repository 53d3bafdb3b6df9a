# docker build -t switchboard-bot . && docker run --env-file .env -p 8080:8080 -v switchboard-bot:/data switchboard-bot
# The default is everything in one process; give `web`, `worker` or `migrate` instead for a process each.
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir -c /src/requirements.lock /src && rm -r /src \
    && useradd --uid 10001 bot && install -d -o bot /data
USER bot
# A SQLite database is made here, and modules of flows are found here.
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["switchboard-bot"]
CMD ["serve"]
