ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY load /usr/local/bin/load
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/load"]
