package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

var glusterChapter = chapter{
	name:    env.DemoGluster,
	title:   "shared volumes from a GlusterFS cluster outside of Kubernetes",
	service: "gluster-bridge",
	linux:   true,
	intro: []string{
		"gluster-bridge is a CSI driver for GlusterFS servers that Kubernetes does not manage. This chapter runs in its own",
		"mount, process and network namespaces, with a control plane of its own, three real servers and the real driver.",
	},
	needs: glusterNeeds,
}

var quotaChapter = chapter{
	name:      env.DemoQuota,
	title:     "a volume takes no more than its size",
	service:   "quotad",
	additions: []string{"gluster-bridge"},
	linux:     true,
	intro: []string{
		"quotad limits the directories of volumes with XFS project quota on the Gluster nodes. Many kernels are built",
		"without this quota. So this chapter runs on a kernel in user mode, where everything takes longer.",
	},
	needs: append(slices.Clone(glusterNeeds), program{"linux.uml", "user-mode-linux"}),
}

// program is a program with its Debian package.
type program struct{ name, pkg string }

var glusterNeeds = []program{
	{"glusterd", "glusterfs-server"}, {"glusterfs", "glusterfs-client"}, {"mkfs.xfs", "xfsprogs"},
}

// missing returns what a chapter needs and this machine does not have.
func (c chapter) missing() string {
	if os.Getuid() != 0 {
		return "GlusterFS needs root, and the demo does not run as root"
	}
	var names []string
	for _, p := range c.needs {
		if _, err := exec.LookPath(p.name); err != nil {
			names = append(names, fmt.Sprintf("%s is missing: install the package %s", p.name, p.pkg))
		}
	}
	return strings.Join(names, "; ")
}

// separate is a chapter that runs in a process of its own, beside the other chapters. Its lines are shown when it is
// its turn.
type separate struct {
	command *exec.Cmd
	output  *process.Output
	lines   chan string
	ended   chan struct{}
	err     error
	began   time.Time
	took    string
	// dir has the temporary files.
	dir string
}

// separateChapters returns the chosen chapters that run in processes of their own and can run here.
func (d *demo) separateChapters() []chapter {
	return slices.DeleteFunc(slices.Clone(d.chapters), func(c chapter) bool {
		return len(c.needs) == 0 || c.missing() != ""
	})
}

// separateProgram is the program that plays these chapters.
func (d *demo) separateProgram() string { return filepath.Join(d.root, "bin", "demo-storage") }

// buildSeparate builds the tests of e2e/storage, of which each of these chapters is one.
func (d *demo) buildSeparate(ctx context.Context, chapters []chapter) error {
	if len(chapters) == 0 {
		return nil
	}
	build := exec.CommandContext(ctx, "go", "test", "-trimpath", "-c", "-o", d.separateProgram(), "./storage")
	build.Dir = filepath.Join(d.root, "e2e")
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build e2e/storage: %w\n%s", err, output)
	}
	return nil
}

// startSeparate starts chapters in processes of their own.
func (d *demo) startSeparate(chapters []chapter) error {
	d.separate = map[string]*separate{}
	for _, c := range chapters {
		s, err := d.startChapter(c.name)
		if err != nil {
			return err
		}
		d.separate[c.name] = s
	}
	return nil
}

// startChapter starts a test of e2e/storage, which tells what it does.
func (d *demo) startChapter(name string) (*separate, error) {
	s := &separate{
		command: exec.Command(d.separateProgram(), "-test.run=^TestDemo$", "-test.v",
			"-test.timeout="+chapterLimit.String()),
		output: &process.Output{}, lines: make(chan string, 1000), ended: make(chan struct{}), began: time.Now(),
	}
	s.command.Dir = filepath.Join(d.root, "e2e", "storage")
	var err error
	if s.dir, err = os.MkdirTemp("", "weir-demo-"); err != nil {
		return nil, err
	}
	s.command.Env = append(os.Environ(), env.DemoChapter+"="+name, "TMPDIR="+s.dir)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.command.Stdout, s.command.Stderr = writer, writer
	err = process.Start(s.command)
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return nil, fmt.Errorf("start the chapter %s: %w", name, err)
	}
	go func() {
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			_, _ = s.output.Write(append(scanner.Bytes(), '\n'))
			if strings.HasPrefix(scanner.Text(), "demo ") {
				s.lines <- scanner.Text()
			}
		}
		s.err = s.command.Wait()
		s.took = since(s.began)
		_ = reader.Close()
		close(s.lines)
		close(s.ended)
	}()
	return s, nil
}

// playSeparate shows what a chapter in its own process has done until now, and what it does until it ends.
func (d *demo) playSeparate(ctx context.Context, c chapter) error {
	s := d.separate[c.name]
	if s == nil {
		d.explain("Skipped: %s.", c.missing())
		d.times = append(d.times, []string{c.name, "skipped"})
		return nil
	}
	for open := true; open; {
		var line string
		if err := d.spin("chapter "+c.name, func() error {
			select {
			case line, open = <-s.lines:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}); err != nil {
			return err
		}
		for prefix, show := range map[string]func(string){
			env.DemoStep: func(title string) {
				d.step++
				d.screen.line("")
				d.screen.line("%s", d.screen.paint(bold, fmt.Sprintf("%2d %s", d.step, title)))
			},
			env.DemoNote: func(text string) { d.explain("%s", text) },
			env.DemoDone: func(text string) { d.done("%s", text) },
		} {
			if text, found := strings.CutPrefix(line, prefix); found {
				show(text)
			}
		}
	}
	<-s.ended
	if s.err != nil {
		return fmt.Errorf("chapter %s: %w\n%s", c.name, s.err, s.output.End(4000))
	}
	d.times = append(d.times, []string{c.name, s.took + ", beside the others"})
	return nil
}

// stop ends the chapter. The kernel ends what it has started.
func (s *separate) stop() error {
	_ = s.command.Process.Signal(syscall.SIGKILL)
	for range s.lines {
		continue
	}
	<-s.ended
	return os.RemoveAll(s.dir)
}
