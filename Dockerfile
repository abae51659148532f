# The image: one static program, its bill of materials (SPDX), the licences of what is in it, and Debian's
# list of certificate authorities, by which "probe" and "check" verify chains. Mount another list over
# /etc/ssl/certs/ca-certificates.crt.
#
#   docker build -t mta-sts-httpd .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -p 443:443 \
#       --tmpfs /run/mta-sts -v /etc/mta-sts:/config:ro -v /etc/letsencrypt:/certs:ro mta-sts-httpd
#
# podman lets nobody but root have port 443: --sysctl net.ipv4.ip_unprivileged_port_start=0
# config/docker/compose.yaml is the same as a compose file. User 65532 must be able to read both mounts.
#
# Equal sources, a base of equal packages and an equal SOURCE_DATE_EPOCH make an equal image. On amd64 the
# program for arm64 is cross-compiled: docker build --platform linux/arm64 .
# Podman needs --build-arg BUILDPLATFORM=linux/amd64 too.
ARG DEBIAN=debian:trixie-slim
FROM --platform=${BUILDPLATFORM} ${DEBIAN} AS build
ARG TARGETARCH
WORKDIR /source

# Apart from the rest, so that a change of the source fetches nothing anew.
COPY server/dependencies.sh server/
RUN server/dependencies.sh install build source && server/dependencies.sh mbedtls build/mbedtls \
    && { server/dependencies.sh awslc build/awslc || true; }
RUN host=$(dpkg --print-architecture); case ${TARGETARCH:-$host} in \
    $host) ;; \
    arm64) server/dependencies.sh install arm64 && server/dependencies.sh arm64 build/arm64/root ;; \
    *) echo "on $host no image for $TARGETARCH can be built" >&2; exit 1 ;; esac

COPY . .
ARG SOURCE_DATE_EPOCH=0
RUN mkdir /image; if [ -e build/arm64/root ]; \
    then make -j"$(nproc)" arm64 && program=build/arm64/static/mta-sts-httpd && strip=aarch64-linux-gnu-strip; \
    else make -j"$(nproc)" STATIC=1 && program=build/static/mta-sts-httpd && strip=strip; fi \
    && $strip -o /image/mta-sts-httpd $program \
    && MBEDTLS_TREE=build/mbedtls/source AWSLC_TREE=build/awslc/source server/release.sh bill \
        /image/mta-sts-httpd $program.parts /image/mta-sts-httpd.spdx.json "$(sed -n 's/^VERSION := //p' Makefile)"
RUN for part in LICENSE build/mbedtls/source/LICENSE \
        $(ls build/awslc/source/LICENSE 2>/dev/null) /usr/share/doc/libyaml-dev/copyright \
        /usr/share/doc/libc6-dev/copyright /usr/share/doc/ca-certificates/copyright; \
    do printf '==== %s\n\n' "$part" && cat "$part" || exit 1; done >/image/LICENSES \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && find /image -mindepth 1 -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mta-sts-httpd" \
    org.opencontainers.image.description="A small HTTPS server that serves MTA-STS policies (RFC 8461)" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.vendor="The mta-sts-httpd authors" \
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
