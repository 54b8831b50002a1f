package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// record lists the unpacked files, so that the next start can verify the cache.
type record struct {
	// Identity of the plugin: its coordinates or its archive's checksum.
	Identity string `json:"identity"`
	// Files maps a path to its SHA-256; a symbolic link to its target.
	Files map[string]string `json:"files"`
}

func (r record) hasCode() bool {
	for name := range r.Files {
		if strings.HasSuffix(name, ".jar") || strings.HasSuffix(name, ".class") {
			return true
		}
	}
	return false
}

func (r record) write(file string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// verify compares a directory with its record and the expected identity.
func verify(dir, recordFile, identity string) error {
	text, err := os.ReadFile(recordFile)
	if err != nil {
		return err
	}
	var want record
	if err := json.Unmarshal(text, &want); err != nil {
		return errors.New("the record is not valid JSON")
	}
	if want.Identity != identity {
		return errors.New("another version is cached")
	}
	have, err := scan(dir, identity)
	if err != nil {
		return err
	}
	if !maps.Equal(want.Files, have.Files) {
		return errors.New("the cached files were changed")
	}
	return nil
}

// scan returns the record of a directory.
func scan(dir, identity string) (record, error) {
	r := record{Identity: identity, Files: map[string]string{}}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			r.Files[name] = "link:" + target
			return err
		}
		r.Files[name], err = digest(path)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("read plugin directory: %w", err)
	}
	return r, nil
}

func digest(path string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
