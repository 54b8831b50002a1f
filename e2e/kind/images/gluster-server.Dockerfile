# A GlusterFS server, for the suites. quotad does not start by itself.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY --chmod=755 gluster-server quotad /usr/local/bin/
VOLUME /var/lib/glusterd /var/bricks
ENTRYPOINT ["gluster-server"]
