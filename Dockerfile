# Builds the single executable and puts it, alone, on Debian. No instruction needs BuildKit.
#   docker build -t deepsoc-gateway --build-arg COMMIT=$(git rev-parse --short HEAD) .
#   docker run --rm -p 127.0.0.1:8080:8080 -e AUTH=none -e ALLOWED_HOSTS=localhost -v gateway-data:/data deepsoc-gateway

FROM node:24-bookworm AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
ARG COMMIT=unknown
# --version loads SQLite, which leaves its module in NATIVE_MODULE_DIR: at run time nothing of the image need be written.
RUN COMMIT="$COMMIT" npm run build && NATIVE_MODULE_DIR=/module dist/deepsoc-gateway --version && chmod -R a=rX /module

FROM debian:bookworm-slim
ARG COMMIT=unknown
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="deepsoc-gateway" \
      org.opencontainers.image.description="From RabbitMQ to the browser: committed, acknowledged, streamed over Server-Sent Events" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
RUN groupadd --system --gid 10001 gateway \
 && useradd --system --uid 10001 --gid gateway --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
 && install --directory --mode=0711 --owner=gateway --group=gateway /data
COPY --from=build /module /usr/local/lib/deepsoc-gateway
COPY --from=build /src/dist/deepsoc-gateway /usr/local/bin/deepsoc-gateway
# HOST: inside a container loopback reaches nobody. So a key, or AUTH=none, must be given, or it refuses to start.
ENV HOST=0.0.0.0 \
    PORT=8080 \
    DATABASE_URL=sqlite:/data/gateway.db \
    NATIVE_MODULE_DIR=/usr/local/lib/deepsoc-gateway
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Whether the process answers: a broker that is away is no reason to replace the gateway. `health` alone asks for that too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["deepsoc-gateway", "health", "--live"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["deepsoc-gateway"]
CMD ["serve"]
