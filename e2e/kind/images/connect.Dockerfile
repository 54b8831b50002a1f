# connect-runner with plugins, as its users add theirs.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY plugins /usr/share/java
