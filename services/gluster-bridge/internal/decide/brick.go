package decide

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// Limit is the limit that statfs of a directory has to show.
type Limit struct {
	// Size of the volume, DataBricks the number of bricks over which a file is spread.
	Size       int64
	DataBricks int
}

// OnBrick is the limit on one brick.
func (l Limit) OnBrick() Limit {
	data := int64(max(1, l.DataBricks))
	return Limit{(l.Size + data - 1) / data, 1}
}

// Shown is what statfs of a directory shows about a limit.
type Shown struct {
	// Volume is true if the client of the volume shows it: at least the smallest limit of a brick is right.
	Volume bool
	// Missing are the online bricks that do not show it, with the cause if it is another one.
	Missing []string
}

// Done reports whether every online brick shows the limit.
func (s Shown) Done() bool { return s.Volume && len(s.Missing) == 0 }

// String says what is missing.
func (s Shown) String() string {
	if s.Volume && len(s.Missing) > 0 {
		return "; check quotad on the nodes of the bricks " + strings.Join(s.Missing, ", ")
	}
	return "; check quotad on the nodes of the bricks"
}

// LimitedBricks returns the indexes of the bricks that have limits: all but the arbiters.
func (g Graph) LimitedBricks() (indexes []int) {
	for i := range g.Bricks {
		if g.Replicas < 1 || i%g.Replicas < g.Replicas-g.Arbiters {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// BrickVolfile returns the volfile of a client of one brick: the translator of that name from the volfile of a volume.
// It has the password of the volume.
func BrickVolfile(volfile, client string) (string, error) {
	var section []string
	isClient := false
	lines := bufio.NewScanner(strings.NewReader(volfile))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(section) == 0 && (len(words) != 2 || words[0] != "volume" || words[1] != client):
			continue
		case len(words) == 2 && words[0] == "type":
			isClient = words[1] == "protocol/client"
		case len(words) == 1 && words[0] == "end-volume":
			if !isClient {
				return "", fmt.Errorf("the translator %q is not the client of a brick", client)
			}
			return strings.Join(append(section, lines.Text()), "\n") + "\n", nil
		}
		section = append(section, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read the volfile: %w", err)
	}
	return "", fmt.Errorf("the volfile has no translator %q", client)
}

// Encrypted reports whether the client of a brick uses TLS, which is the option client.ssl of the volume. section is
// its translator in a volfile.
func Encrypted(section string) bool {
	for line := range strings.Lines(section) {
		if words := strings.Fields(line); len(words) == 3 && words[1] == "transport.socket.ssl-enabled" {
			return isOn(words[2])
		}
	}
	return false
}

// isOn parses a boolean option as GlusterFS does.
func isOn(value string) bool {
	return slices.Contains([]string{"1", "on", "yes", "true", "enable"}, strings.ToLower(value))
}
