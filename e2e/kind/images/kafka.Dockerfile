# A Kafka broker in KRaft mode, for the suites.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER 0:0
COPY libs /opt/kafka/libs
COPY --chmod=755 kafka /usr/local/bin/kafka
USER 65532:65532
ENTRYPOINT ["sh", "/usr/local/bin/kafka"]
