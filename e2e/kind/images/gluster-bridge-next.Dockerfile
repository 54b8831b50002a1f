# gluster-bridge with another build of its program, to upgrade to.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY gluster-bridge /usr/local/bin/gluster-bridge
