# A Connect plugin and nothing else, to be mounted as an image volume.
FROM scratch
COPY testplugin /testplugin
