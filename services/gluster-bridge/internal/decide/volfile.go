package decide

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Graph describes a GlusterFS volume as its client sees it: the volfile that the client runs. It needs no rights on the
// Gluster cluster, and it follows changes of the volume.
type Graph struct {
	// ID is the UUID of the volume, if the volfile has it.
	ID string
	// Bricks are the bricks as host:path, in the order of the volfile.
	Bricks []string
	// Clients are the names of the translators of the bricks, in the same order.
	Clients []string
	// Distribute is the number of subvolumes that files are distributed over.
	Distribute int
	// Replicas, Arbiters and Redundancy describe one subvolume. Replicas is 1 if it is a single brick; Redundancy is
	// greater than 0 for disperse.
	Replicas, Arbiters, Redundancy int
	// Sharded is true if large files are split.
	Sharded bool
}

// maxVolfile is the largest number of translators that are parsed: 8 per brick of a very large volume.
const maxVolfile = 20_000

type translator struct {
	name, kind string
	options    map[string]string
	subvolumes []string
}

// read are the options that are kept. The others, which include the password of the volume, are dropped.
var read = []string{
	"remote-host", "remote-subvolume", "volume-id", "arbiter-count", "redundancy",
}

// ParseVolfile parses a volfile of a client.
func ParseVolfile(volfile string) (Graph, error) {
	translators, err := parseTranslators(volfile)
	if err != nil {
		return Graph{}, err
	}
	g := Graph{Distribute: 1, Replicas: 1}
	for _, t := range translators {
		if id := t.options["volume-id"]; id != "" && g.ID == "" {
			g.ID = id
		}
		switch t.kind {
		case "protocol/client":
			g.Bricks = append(g.Bricks, t.options["remote-host"]+":"+t.options["remote-subvolume"])
			g.Clients = append(g.Clients, t.name)
		case "cluster/distribute", "cluster/nufa", "cluster/switch":
			g.Distribute = max(g.Distribute, len(t.subvolumes))
		case "cluster/replicate":
			g.Replicas = len(t.subvolumes)
			g.Arbiters = atoi(t.options["arbiter-count"])
		case "cluster/disperse":
			g.Replicas = len(t.subvolumes)
			g.Redundancy = atoi(t.options["redundancy"])
		case "features/shard":
			g.Sharded = true
		}
	}
	if len(g.Bricks) == 0 {
		return Graph{}, errors.New("the volfile has no brick")
	}
	return g, nil
}

func parseTranslators(volfile string) ([]translator, error) {
	var all []translator
	var current *translator
	lines := bufio.NewScanner(strings.NewReader(volfile))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch {
		case words[0] == "volume" && len(words) == 2 && current == nil:
			if len(all) >= maxVolfile {
				return nil, fmt.Errorf("the volfile has more than %d translators", maxVolfile)
			}
			current = &translator{name: words[1], options: map[string]string{}}
		case current == nil:
			return nil, fmt.Errorf("the volfile has %q outside of a volume", words[0])
		case words[0] == "end-volume":
			all = append(all, *current)
			current = nil
		case words[0] == "type" && len(words) == 2:
			current.kind = words[1]
		case words[0] == "option" && len(words) >= 3 && slices.Contains(read, words[1]):
			current.options[words[1]] = strings.Join(words[2:], " ")
		case words[0] == "subvolumes":
			current.subvolumes = words[1:]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the volfile: %w", err)
	}
	if current != nil {
		return nil, fmt.Errorf("the volfile ends inside the volume %q", current.name)
	}
	return all, nil
}

// Connected reports whether a client translator is connected to its brick. private is its file of that name in the
// client's directory .meta. A client without this line counts as connected: its brick is waited for.
func Connected(private string) bool {
	for line := range strings.Lines(private) {
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) == "connected" {
			return strings.TrimSpace(value) != "0"
		}
	}
	return true
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Type is the type of the volume in the words of the gluster command.
func (g Graph) Type() string {
	name := "Distribute"
	switch {
	case g.Redundancy > 0:
		name = "Disperse"
	case g.Replicas > 1 && g.Arbiters > 0:
		name = "Arbiter"
	case g.Replicas > 1:
		name = "Replicate"
	case g.Distribute == 1:
		return "Single"
	}
	if g.Distribute > 1 && name != "Distribute" {
		return "Distributed-" + name
	}
	return name
}

// MinVersion is the oldest major version of GlusterFS that is supported.
const MinVersion = 6

// CheckVersion returns why a client of this version cannot be used, or an empty string.
func CheckVersion(version string) string {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < MinVersion {
		return fmt.Sprintf("the GlusterFS client has version %q; use an image with version %d or later", version, MinVersion)
	}
	return ""
}
