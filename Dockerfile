# The image: one static program, the licences of what is in it, and Debian's list of certificate
# authorities, with which "probe" and "check" judge chains.
#
#   docker build -t mta-sts-httpd .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -p 443:443 \
#       --tmpfs /run/mta-sts -v /etc/mta-sts:/config:ro -v /etc/letsencrypt:/certs:ro mta-sts-httpd
#
# podman lets nobody but root have port 443: --sysctl net.ipv4.ip_unprivileged_port_start=0
# config/docker/compose.yaml is the same as a compose file. User 65532 must be able to read both mounts.
#
# Equal sources, a base of equal packages and an equal SOURCE_DATE_EPOCH make an equal image.
ARG DEBIAN=debian:trixie-slim
FROM ${DEBIAN} AS build
WORKDIR /source

# Apart from the rest, so that a change of the source fetches nothing anew.
COPY server/dependencies.sh server/
RUN server/dependencies.sh install build source && server/dependencies.sh mbedtls build/mbedtls \
    && { server/dependencies.sh awslc build/awslc || true; }

COPY . .
RUN make -j"$(nproc)" STATIC=1 install DESTDIR=/installed prefix=/usr
ARG SOURCE_DATE_EPOCH=0
RUN mkdir /image && mv /installed/usr/sbin/mta-sts-httpd /image/ \
    && for part in LICENSE build/mbedtls/source/LICENSE \
        $(ls build/awslc/source/LICENSE 2>/dev/null) /usr/share/doc/libyaml-dev/copyright \
        /usr/share/doc/libc6-dev/copyright /usr/share/doc/ca-certificates/copyright; \
    do printf '==== %s\n\n' "$part" && cat "$part" || exit 1; done >/image/LICENSES \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && find /image -mindepth 1 -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch
LABEL org.opencontainers.image.title="mta-sts-httpd" \
    org.opencontainers.image.description="A small HTTPS server that serves MTA-STS policies (RFC 8461)" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="ISC"
COPY --from=build /image/ /
# A number, for there is no user database. It needs no capability: engines let everyone in a container
# of its own network bind port 443, and elsewhere the configuration names a high one.
USER 65532:65532
EXPOSE 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["/mta-sts-httpd", "health", "-c", "/config/mta-sts.yaml"]
ENTRYPOINT ["/mta-sts-httpd"]
CMD ["serve", "-c", "/config/mta-sts.yaml"]
