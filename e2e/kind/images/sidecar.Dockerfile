# A CSI sidecar. Like the images of the project, it runs as root: the socket of the driver belongs to root.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG PROGRAM
COPY ${PROGRAM} /usr/local/bin/sidecar
USER 0:0
ENTRYPOINT ["/usr/local/bin/sidecar"]
