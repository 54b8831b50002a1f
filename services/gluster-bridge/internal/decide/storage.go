// Package decide has the decisions of gluster-bridge: pure functions without client, clock and I/O.
package decide

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
)

const (
	// Manager is the field manager, lease and event source.
	Manager = "gluster-bridge"
	// Driver is the name of the CSI driver.
	Driver = "gluster.weir.dev"
	// TopologyKey is the label of nodes with the driver, which kubelet writes.
	TopologyKey = "topology.gluster.weir.dev/driver"
	// TypeExternal is the type of the storages that gluster-bridge handles.
	TypeExternal = "External"
	// DefaultPort is the port of glusterd.
	DefaultPort = 24007
)

// Storage is the effective description of a GlusterFS volume: all spellings of the spec are merged.
type Storage struct {
	// Namespace and Name of the KadaluStorage.
	Namespace, Name string
	// Volume is where and what to mount.
	Volume Mountable
	// Native is true if each persistent volume is a directory, false if the whole GlusterFS volume is one.
	Native bool
	// Reclaim is what happens to the data of a deleted persistent volume.
	Reclaim kadaluv1alpha1.ReclaimPolicy
	// Quota is the configured mode, or empty for the default.
	Quota kadaluv1alpha1.QuotaMode
}

// ID is the namespace and name, the value of GlusterVolume.spec.storage.
func (s Storage) ID() string { return s.Namespace + "/" + s.Name }

// Mountable is a GlusterFS volume as the FUSE client mounts it.
type Mountable struct {
	// Hosts serve the volfile; the first one is asked first.
	Hosts []string
	// Port of glusterd.
	Port int32
	// Name of the GlusterFS volume.
	Name string
	// Options of the FUSE client, checked.
	Options []string
}

// Finding is a problem with one field of a spec.
type Finding struct{ Field, Value, Fix string }

// Error names the field, its value and the fix.
func (f Finding) Error() string { return fmt.Sprintf("%s %q: %s", f.Field, f.Value, f.Fix) }

// maxStorageID leaves room for the name of a directory in a volume id, which has at most 128 bytes.
const maxStorageID = 86

// Resolve returns the effective storage of a KadaluStorage and the problems of its spec.
func Resolve(ks *kadaluv1alpha1.KadaluStorage) (Storage, []Finding) {
	s := Storage{
		Namespace: ks.Namespace, Name: ks.Name, Native: true,
		Reclaim: ks.Spec.PVReclaimPolicy, Quota: ks.Spec.Quota,
	}
	if s.Reclaim == "" {
		s.Reclaim = kadaluv1alpha1.ReclaimDelete
	}
	var findings []Finding
	report := func(field, value, fix string) { findings = append(findings, Finding{field, value, fix}) }
	if id := s.ID(); len(id) > maxStorageID {
		report("metadata.name", id, fmt.Sprintf("namespace and name have %d characters; at most %d fit into a volume id",
			len(id), maxStorageID))
	}
	s.Native = format(ks.Spec, report)
	if len(ks.Spec.Details) != 1 {
		report("spec.details", fmt.Sprint(len(ks.Spec.Details)), "must have exactly one entry")
		return s, findings
	}
	d := ks.Spec.Details[0]
	s.Volume = Mountable{Port: d.GlusterPort, Name: d.GlusterVolname}
	for _, host := range slices.Concat([]string{d.GlusterNode}, d.GlusterNodes, d.GlusterHosts) {
		if host != "" && !slices.Contains(s.Volume.Hosts, host) {
			s.Volume.Hosts = append(s.Volume.Hosts, host)
		}
	}
	if d.GlusterOptions != "" && d.GlusterOptionsTitle != "" && d.GlusterOptions != d.GlusterOptionsTitle {
		report("spec.details[0].Gluster_options", d.GlusterOptionsTitle,
			"differs from gluster_options; set only one of the two")
	}
	options := d.GlusterOptions
	if options == "" {
		options = d.GlusterOptionsTitle
	}
	if options != "" {
		s.Volume.Options = strings.Split(options, ",")
	}
	checked, problems := s.Volume.Check()
	s.Volume = checked
	for _, p := range problems {
		p.Field = fields[p.Field]
		findings = append(findings, p)
	}
	return s, findings
}

// fields maps the parts of a Mountable to the fields of the spec.
var fields = map[string]string{
	"hosts": "spec.details[0].gluster_node", "port": "spec.details[0].gluster_port",
	"volume": "spec.details[0].gluster_volname", "options": "spec.details[0].gluster_options",
}

// format merges the three spellings of the layout.
func format(spec kadaluv1alpha1.KadaluStorageSpec, report func(field, value, fix string)) (native bool) {
	native = true
	said := ""
	set := func(field string, value bool) {
		if said != "" && native != value {
			report("spec."+field, fmt.Sprint(value), "contradicts spec."+said+"; set only one of the two")
			return
		}
		native, said = value, field
	}
	if spec.KadaluFormat != nil {
		set("kadalu-format", *spec.KadaluFormat)
	}
	if spec.KadaluFormatName != "" {
		set("kadalu_format", spec.KadaluFormatName == "native")
	}
	if spec.SinglePVPerPool != nil {
		set("single_pv_per_pool", !*spec.SinglePVPerPool)
	}
	return native
}

var (
	hostLabel  = `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`
	hostName   = regexp.MustCompile(`^` + hostLabel + `(\.` + hostLabel + `)*$`)
	volumeName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,254}$`)
)

// Check returns the volume with canonical options, and its problems. Everything in it becomes an argument of the FUSE
// client, so all characters are checked.
func (m Mountable) Check() (Mountable, []Finding) {
	var findings []Finding
	report := func(field, value, fix string) { findings = append(findings, Finding{field, value, fix}) }
	if len(m.Hosts) == 0 {
		report("hosts", "", "must name at least one host that serves the volfile")
	}
	for _, host := range m.Hosts {
		if _, err := netip.ParseAddr(host); err != nil && (!hostName.MatchString(host) || len(host) > 253) ||
			strings.Contains(host, "%") {
			report("hosts", host, "must be a host name or an IP address")
		}
	}
	if m.Port == 0 {
		m.Port = DefaultPort
	}
	if m.Port < 1 || m.Port > 65535 {
		report("port", fmt.Sprint(m.Port), "must be from 1 to 65535")
	}
	if !volumeName.MatchString(m.Name) {
		report("volume", m.Name, "must have only letters, digits, - and _, and must not start with -")
	}
	options, problems := Options(m.Options)
	m.Options = options
	return m, append(findings, problems...)
}
