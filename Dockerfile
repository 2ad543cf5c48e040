# syntax=docker/dockerfile:1.7
# gbtpool from source, for every platform that Go builds for: docker buildx build --platform linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
# The version comes from .git; VCS=false builds where git does not work, such as in a linked worktree.
ARG VCS=auto
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=$VCS -ldflags='-s -w' -o /out/gbtpool ./cmd/gbtpool \
    && mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/gbtpool /usr/local/bin/gbtpool
# A volume that is mounted here for the first time gets its owner from this folder.
COPY --from=build --chown=65532:65532 /out/data /var/lib/gbtpool
# Loopback would be the container's own.
ENV GBTPOOL_LISTEN=0.0.0.0:9332
USER 65532:65532
VOLUME /var/lib/gbtpool
EXPOSE 9332
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/gbtpool", "healthcheck", "http://127.0.0.1:9332/healthz"]
ENTRYPOINT ["/usr/local/bin/gbtpool"]
CMD ["serve", "--config", "/etc/gbtpool/gbtpool.yaml"]
