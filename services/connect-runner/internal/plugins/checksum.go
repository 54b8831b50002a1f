package plugins

import (
	"crypto/md5"  //nolint:gosec // Confluent Hub publishes nothing better than MD5 and SHA-1; both are checked.
	"crypto/sha1" //nolint:gosec // As above.
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// checksum is what an archive has to add up to.
type checksum struct {
	name string
	want string
	make func() hash.Hash
}

func newChecksum(name, want string) (checksum, error) {
	c := checksum{name: name, want: strings.ToLower(strings.TrimSpace(want))}
	switch name {
	case "sha512":
		c.make = sha512.New
	case "sha1":
		c.make = sha1.New
	case "md5":
		c.make = md5.New
	default:
		return c, fmt.Errorf("checksum %s is not known", name)
	}
	if raw, err := hex.DecodeString(c.want); err != nil || len(raw) != c.make().Size() {
		return c, fmt.Errorf("the %s checksum is not %d hexadecimal digits", name, 2*c.make().Size())
	}
	return c, nil
}

func (c checksum) check(sum hash.Hash) error {
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.want {
		return fmt.Errorf("the archive's %s is %s, %s is wanted: it was changed, or the checksum is another archive's", c.name, got, c.want)
	}
	return nil
}
