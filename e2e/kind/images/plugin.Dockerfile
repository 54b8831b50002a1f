# A Connect plugin without anything else, to be mounted as an image volume.
FROM scratch
COPY testplugin /testplugin
