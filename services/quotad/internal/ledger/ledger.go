//go:build linux

// Package ledger records which directories the project ids of a file system were given to. A limit without a record is
// not changed. Records are on the node, outside of the bricks.
//
// Each file system has a file with one change per line. A line that a crash has cut off is ignored: a change is carried
// out only after its line is on disk.
package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/quotad/internal/decide"
)

// ErrLocked means that another process uses the directory.
var ErrLocked = errors.New("another quotad uses the state directory; only one can run on a node")

// Ledger is the directory with the records of a node.
type Ledger struct {
	dir    *node.Dir
	unlock func() error

	mutex sync.Mutex
	books map[string]*book
}

// Open opens the records in a directory, and creates it if it does not exist. It fails with ErrLocked if another
// process uses it.
func Open(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	opened, err := node.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	unlock, err := opened.Lock()
	if err != nil {
		_ = opened.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, err
	}
	l := &Ledger{dir: opened, unlock: unlock, books: map[string]*book{}}
	entries, err := opened.Entries(-1)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for _, entry := range entries {
		if fileSystem, isBook := strings.CutSuffix(entry.Name(), suffix); isBook {
			// An error is returned again when the records are used.
			_, _ = l.book(fileSystem)
		}
	}
	return l, nil
}

// Has reports whether there are records of directories of a volume.
func (l *Ledger) Has(volume string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, b := range l.books {
		if b.volumes[volume] > 0 {
			return true
		}
	}
	return false
}

// Read returns the records of a file system without changing anything. It needs no lock.
func Read(dir, fileSystem string) (map[uint32]decide.Owner, error) {
	opened, err := node.OpenDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }()
	owners, err := load(opened, fileSystem)
	return owners, err
}

// Close closes the ledger.
func (l *Ledger) Close() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var errs []error
	for _, b := range l.books {
		errs = append(errs, b.file.Close())
	}
	return errors.Join(append(errs, l.unlock(), l.dir.Close())...)
}

// Change is a new owner of a project id. A nil owner removes the record.
type Change struct {
	Project uint32        `json:"project"`
	Owner   *decide.Owner `json:"owner,omitempty"`
}

// Write records changes. It returns when they are on disk.
func (l *Ledger) Write(fileSystem string, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, err := l.book(fileSystem)
	if err != nil {
		return err
	}
	return l.write(fileSystem, b, changes)
}

// write writes changes. After an error the file can end with an incomplete line: it is read and written again before
// the next change.
func (l *Ledger) write(fileSystem string, b *book, changes []Change) error {
	err := b.write(changes)
	if err == nil && b.lines <= 2*len(b.records)+maxOldLines {
		return nil
	}
	delete(l.books, fileSystem)
	err = errors.Join(err, b.file.Close())
	if err == nil {
		// The changes are on disk. If the file cannot be rewritten now, the error is returned when it is used again.
		_, _ = l.book(fileSystem)
	}
	return err
}

// maxOldLines is the number of lines that later ones replace, beyond those of present records, after which a file is
// rewritten without them.
const maxOldLines = 10_000

// Assigned records that everything in directories belongs to their projects. It leaves out directories whose record has
// changed since the assignment began.
func (l *Ledger) Assigned(fileSystem string, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, err := l.book(fileSystem)
	if err != nil {
		return err
	}
	return l.write(fileSystem, b, slices.DeleteFunc(changes, func(c Change) bool {
		now, found := b.owner(c.Project)
		return !found || now.Released || now.Volume != c.Owner.Volume || now.Path != c.Owner.Path
	}))
}

// Of returns the records of project ids and of directories of a volume.
func (l *Ledger) Of(fileSystem, volume string, projects []uint32, paths []string) (map[uint32]decide.Owner, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, err := l.book(fileSystem)
	if err != nil {
		return nil, err
	}
	found := map[uint32]decide.Owner{}
	for _, path := range paths {
		for _, project := range b.of(volume, path) {
			found[project], _ = b.owner(project)
		}
	}
	for _, project := range projects {
		if owner, isRecorded := b.owner(project); isRecorded {
			found[project] = owner
		}
	}
	return found, nil
}

// Paths returns the recorded directories of a volume, sorted.
func (l *Ledger) Paths(fileSystem, volume string) ([]string, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, err := l.book(fileSystem)
	if err != nil {
		return nil, err
	}
	return b.directories(volume), nil
}

const suffix = ".jsonl"

var fileSystemID = regexp.MustCompile(`^[0-9a-f-]{1,64}$`)

func nameOf(fileSystem string) (string, error) {
	if !fileSystemID.MatchString(fileSystem) {
		return "", fmt.Errorf("file system id %q is not a UUID", fileSystem)
	}
	return fileSystem + suffix, nil
}

// book returns the records of a file system. It rewrites the file when it opens it, without what later lines replace.
func (l *Ledger) book(fileSystem string) (*book, error) {
	if b := l.books[fileSystem]; b != nil {
		return b, nil
	}
	owners, err := load(l.dir, fileSystem)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(fileSystem)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	b := newBook(len(owners))
	b.lines = len(owners)
	for _, project := range slices.Sorted(maps.Keys(owners)) {
		owner := owners[project]
		b.set(project, &owner)
		if err := encode(&content, Change{project, &owner}); err != nil {
			return nil, err
		}
	}
	if err := l.dir.WriteFile(name, content.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if b.file, err = l.dir.Open(name, unix.O_WRONLY|unix.O_APPEND, 0); err != nil {
		return nil, err
	}
	l.books[fileSystem] = b
	return b, nil
}

// maxBook limits what is read into memory.
const maxBook = 1 << 30

func load(dir *node.Dir, fileSystem string) (map[uint32]decide.Owner, error) {
	owners := map[uint32]decide.Owner{}
	name, err := nameOf(fileSystem)
	if err != nil {
		return nil, err
	}
	content, err := dir.ReadFile(name, maxBook)
	if errors.Is(err, fs.ErrNotExist) {
		return owners, nil
	}
	if err != nil {
		return nil, err
	}
	partial := len(content) > 0 && content[len(content)-1] != '\n'
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	// All records of a volume share its id.
	volumes := map[string]string{}
	for number := 1; lines.Scan(); number++ {
		var change Change
		err := json.Unmarshal(lines.Bytes(), &change)
		if err == nil && change.Owner != nil && len(change.Owner.Path) > maxPath {
			err = errors.New("its path is too long")
		}
		if err != nil {
			isLast := bytes.HasSuffix(content, lines.Bytes())
			if partial && isLast {
				break
			}
			return nil, fmt.Errorf("%s line %d: %w; restore the file, or remove it: limits whose directories still have "+
				"their project ids are found again", filepath.Join(dir.Name(), name), number, err)
		}
		if change.Owner == nil {
			delete(owners, change.Project)
			continue
		}
		owner := *change.Owner
		if _, known := volumes[owner.Volume]; !known {
			volumes[owner.Volume] = owner.Volume
		}
		owner.Volume = volumes[owner.Volume]
		owners[change.Project] = owner
	}
	return owners, lines.Err()
}

func (b *book) write(changes []Change) error {
	var content bytes.Buffer
	for _, change := range changes {
		if change.Owner != nil && len(change.Owner.Path) > maxPath {
			return fmt.Errorf("the path of project %d has %d bytes; the longest one has %d", change.Project,
				len(change.Owner.Path), maxPath)
		}
		if err := encode(&content, change); err != nil {
			return err
		}
	}
	if _, err := b.file.Write(content.Bytes()); err != nil {
		return fmt.Errorf("write the records of project ids: %w", err)
	}
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("write the records of project ids: %w", err)
	}
	b.lines += len(changes)
	for _, change := range changes {
		b.set(change.Project, change.Owner)
	}
	return nil
}

func encode(to *bytes.Buffer, change Change) error {
	line, err := json.Marshal(change)
	if err != nil {
		return err
	}
	to.Write(line)
	return to.WriteByte('\n')
}
