package decide

import (
	"strconv"
	"strings"
)

// Keys of the volume context. They are all that a node needs to mount a volume.
const (
	ContextHosts   = "gluster_hosts"
	ContextPort    = "gluster_port"
	ContextVolume  = "gluster_volname"
	ContextOptions = "gluster_options"
	ContextPath    = "path"
)

// Context returns the volume context of a volume.
func Context(s Storage, id VolumeID) map[string]string {
	values := map[string]string{
		ContextHosts: strings.Join(s.Volume.Hosts, ","), ContextPort: strconv.Itoa(int(s.Volume.Port)),
		ContextVolume: s.Volume.Name, ContextOptions: strings.Join(s.Volume.Options, ","),
	}
	if !id.Whole() {
		values[ContextPath] = DataPath(id.Directory)
	}
	return values
}
