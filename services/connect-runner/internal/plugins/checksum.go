package plugins

import (
	"crypto/md5"  //nolint:gosec // Confluent Hub publishes only MD5 and SHA-1; both are checked.
	"crypto/sha1" //nolint:gosec // As above.
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// checksum is the expected digest of an archive.
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
		return c, fmt.Errorf("checksum %s is not supported; use sha512, sha1 or md5", name)
	}
	if raw, err := hex.DecodeString(c.want); err != nil || len(raw) != c.make().Size() {
		return c, fmt.Errorf("the %s checksum is not %d hexadecimal digits", name, 2*c.make().Size())
	}
	return c, nil
}

func (c checksum) check(sum hash.Hash) error {
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.want {
		return fmt.Errorf("the archive's %s is %s, expected %s; the archive was changed or the checksum is wrong",
			c.name, got, c.want)
	}
	return nil
}
