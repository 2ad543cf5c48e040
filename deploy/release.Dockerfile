# gbtpool from the binaries of a release; see .goreleaser.yaml. Dockerfile builds from source.
FROM --platform=$BUILDPLATFORM busybox:1.37.0 AS data
RUN mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/gbtpool /usr/local/bin/gbtpool
COPY --from=data --chown=65532:65532 /data /var/lib/gbtpool
ENV GBTPOOL_LISTEN=0.0.0.0:9332
USER 65532:65532
VOLUME /var/lib/gbtpool
EXPOSE 9332
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/gbtpool", "healthcheck", "http://127.0.0.1:9332/healthz"]
ENTRYPOINT ["/usr/local/bin/gbtpool"]
CMD ["serve", "--config", "/etc/gbtpool/gbtpool.yaml"]
