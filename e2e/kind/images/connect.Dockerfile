# connect-runner with additional plugins.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY plugins /usr/share/java
