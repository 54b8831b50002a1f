# A ZooKeeper server and its command line client, for the suites.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER 0:0
COPY libs /opt/zookeeper/libs
COPY --chmod=755 zookeeper zookeeper-client /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["sh", "/usr/local/bin/zookeeper"]
