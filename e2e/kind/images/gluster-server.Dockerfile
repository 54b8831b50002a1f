# A GlusterFS server, for the suites.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY --chmod=755 gluster-server /usr/local/bin/gluster-server
VOLUME /var/lib/glusterd /var/bricks
ENTRYPOINT ["gluster-server"]
