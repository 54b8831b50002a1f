# connect-runner with additional plugins, and a file for the quickstart's connector.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY plugins /usr/share/java
COPY hello.txt /usr/share/weir/hello.txt
