package contract

// AttributeGlusterQuota is an extended attribute of the description of a directory on a disperse GlusterFS volume. Its
// value is the content of the description: on the bricks of a disperse volume the content of a file is encoded, but its
// attributes are not. Writer: gluster-bridge. Reader: a standalone quotad, on the bricks.
const AttributeGlusterQuota = "user.weir.quota"
