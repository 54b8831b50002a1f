package plugins

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Limits of an archive, far above the size of known plugins.
const (
	// UnpackFactor is the ratio between the maximum size of the content and of the archive.
	UnpackFactor = 4
	// MaxEntries is the maximum number of files and directories in an archive.
	MaxEntries = 100_000
)

// unpacker writes below one directory and counts bytes and entries.
type unpacker struct {
	root    *os.Root
	left    int64
	entries int
}

// unpack writes the content of an archive to a new directory. It detects the format from the first bytes. A zip named
// .jar is copied unchanged. os.Root refuses entries outside the directory, symbolic links included.
func unpack(file, name, dir string, maxBytes int64) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, left: maxBytes}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	magic, err := bufio.NewReader(in).Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(string(magic), "PK\x03\x04"):
		if base := path.Base(printable(name)); strings.HasSuffix(strings.ToLower(base), ".jar") {
			return u.write(base, 0o644, in)
		}
		return u.zip(file)
	case strings.HasPrefix(string(magic), "\x1f\x8b"):
		return u.tarGz(in)
	}
	return errors.New("unknown archive format; must be a zip, a tar.gz or a jar")
}

func (u *unpacker) zip(file string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("unpack zip: %w", err)
	}
	defer z.Close()
	for _, e := range z.File {
		if err := u.zipEntry(e); err != nil {
			return fmt.Errorf("unpack zip: entry %q: %w", e.Name, err)
		}
	}
	return nil
}

func (u *unpacker) zipEntry(e *zip.File) error {
	name, err := u.checkName(e.Name)
	if err != nil || name == "." {
		return err
	}
	switch mode := e.Mode(); {
	case mode.IsDir():
		return u.root.MkdirAll(name, 0o755)
	case mode.IsRegular():
		in, err := e.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		return u.write(name, mode.Perm(), in)
	case mode&fs.ModeSymlink != 0:
		in, err := e.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		target, err := io.ReadAll(io.LimitReader(in, 4096))
		if err != nil {
			return err
		}
		return u.link(name, string(target))
	}
	return errors.New("it is neither a file nor a directory")
}

func (u *unpacker) tarGz(in io.Reader) error {
	gz, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("unpack tar.gz: %w", err)
	}
	t := tar.NewReader(gz)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack tar.gz: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := u.tarEntry(h, t); err != nil {
			return fmt.Errorf("unpack tar.gz: entry %q: %w", h.Name, err)
		}
	}
}

func (u *unpacker) tarEntry(h *tar.Header, in io.Reader) error {
	name, err := u.checkName(h.Name)
	if err != nil || name == "." {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		return u.write(name, h.FileInfo().Mode().Perm(), in)
	case tar.TypeSymlink:
		return u.link(name, h.Linkname)
	}
	return errors.New("it is neither a file nor a directory")
}

// checkName counts an entry and returns its clean path.
func (u *unpacker) checkName(name string) (string, error) {
	if u.entries++; u.entries > MaxEntries {
		return "", fmt.Errorf("the archive has more than %d entries", MaxEntries)
	}
	if strings.ContainsAny(name, "\\\x00") {
		return "", errors.New("the name contains a backslash or a NUL character")
	}
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) {
		return "", errors.New("the path is outside the plugin's directory")
	}
	return clean, nil
}

func (u *unpacker) write(name string, perm fs.FileMode, in io.Reader) error {
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm&0o755|0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	n, err := io.Copy(out, io.LimitReader(in, u.left+1))
	if err != nil {
		return err
	}
	if u.left -= n; u.left < 0 {
		return errors.New("the content is larger than four times --plugin-max-bytes")
	}
	return out.Close()
}

// link creates a symbolic link to a path inside the directory.
func (u *unpacker) link(name, target string) error {
	if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return errors.New("the link's target is outside the plugin's directory")
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}
