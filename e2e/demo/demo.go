package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// pace is the pause after each step on a terminal.
const pace = 2 * time.Second

// demo is one run of the demo.
type demo struct {
	screen *screen
	exit   bool
	// completed is set after the last step.
	completed bool

	chapters []chapter
	// namespace is the namespace of the current chapter.
	namespace string

	root      string
	cp        *testkit.ControlPlane
	scheduler *env.Service
	runner    *env.Process
	objects   *objects
	stopWatch context.CancelFunc
	// cleaner is the service of the chapter drains.
	cleaner *env.Service
	// volumes is the state of the chapter volumes.
	volumes volumes
	// records is the state of the step that moves real records.
	records records
	// separate are the chapters that run in processes of their own, by name.
	separate map[string]*separate

	// installed is set when deploy/base is applied.
	installed bool

	step  int
	began time.Time
	// built is the time at which the programs were built, and times has the name and the time of each chapter since.
	built time.Time
	times [][]string
}

// services returns the running services.
func (d *demo) services() []*env.Service {
	var running []*env.Service
	for _, s := range []*env.Service{d.scheduler, d.cleaner, d.volumes.controller, d.volumes.agent} {
		if s != nil {
			running = append(running, s)
		}
	}
	return running
}

// do prints the title of a step and runs it within its time limit.
func (d *demo) do(ctx context.Context, title string, limit time.Duration, act func(context.Context) error) error {
	d.step++
	d.began = time.Now()
	d.screen.line("")
	d.screen.line("%s", d.screen.paint(bold, fmt.Sprintf("%2d %s", d.step, title)))
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := act(within); err != nil {
		d.screen.keep()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if within.Err() != nil {
			return fmt.Errorf("step %d did not complete within %s: %w", d.step, limit, err)
		}
		return fmt.Errorf("step %d: %w", d.step, err)
	}
	d.screen.keep()
	return d.pause(ctx)
}

// pause gives the user time to read, on a terminal.
func (d *demo) pause(ctx context.Context) error {
	if !d.screen.tty || d.exit {
		return nil
	}
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// done prints a result that was checked.
func (d *demo) done(format string, args ...any) {
	d.screen.keep()
	d.screen.line(indent+"%s %s", d.screen.paint(green, "✓"), fmt.Sprintf(format, args...))
}

// explain prints a line of explanation.
func (d *demo) explain(format string, args ...any) {
	d.screen.line("%s", d.screen.paint(dim, indent+fmt.Sprintf(format, args...)))
}

// kubectl prints a kubectl command and runs it as cluster administrator.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	shown, run := make([]string, len(args)), make([]string, len(args))
	for i, arg := range args {
		shown[i], run[i] = arg, arg
		if strings.ContainsAny(arg, `{"`) {
			shown[i] = "'" + arg + "'"
		}
		if strings.HasSuffix(arg, ".yaml") {
			run[i] = filepath.Join(d.root, arg)
		}
	}
	d.screen.line(indent+"%s", d.screen.paint(cyan, "$ kubectl -n "+d.namespace+" "+strings.Join(shown, " ")))
	_, err := d.cp.Kubectl(ctx, append([]string{"-n", d.namespace}, run...)...)
	return err
}

// spin shows a spinner while act runs.
func (d *demo) spin(label string, act func() error) error {
	done := make(chan error, 1)
	go func() { done <- act() }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for began, frame := time.Now(), 0; ; frame++ {
		select {
		case err := <-done:
			d.screen.show(nil)
			return err
		case <-ticker.C:
			spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
			if d.screen.tty {
				d.screen.show(
					[]string{
						fmt.Sprintf(indent+"%s %s %s", d.screen.paint(cyan, string(spinner[frame%len(spinner)])), label,
							d.screen.paint(dim, fmt.Sprintf("%.0fs", time.Since(began).Seconds()))),
					},
				)
			}
		}
	}
}

// until shows changes until the condition returns nil. It checks the condition after each watch event.
func (d *demo) until(ctx context.Context, condition func() error) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var changes chan change
	if d.objects != nil {
		changes = d.objects.changes
	}
	for {
		d.screen.show(d.table())
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case c := <-changes:
			d.printChange(c, d.objects.update(c))
		case <-second.C:
			if err := d.checkProcesses(); err != nil {
				return err
			}
		case <-ctx.Done():
			return err
		}
	}
}

// checkProcesses returns an error if a process has ended.
func (d *demo) checkProcesses() error {
	errs := []error{d.cp.Err()}
	for _, s := range d.services() {
		errs = append(errs, s.Err())
	}
	if d.runner != nil {
		errs = append(errs, d.runner.Err())
	}
	return errors.Join(errs...)
}

// logTails returns the ends of the logs of the running services.
func (d *demo) logTails() string {
	var tails strings.Builder
	for _, s := range d.services() {
		if s.Err() == nil {
			fmt.Fprintf(&tails, "%sLast lines of %s:\n%s\n", indent, filepath.Base(s.Log), s.Tail(10))
		}
	}
	return tails.String()
}

// close stops all processes and removes their files.
func (d *demo) close() error {
	var errs []error
	if d.stopWatch != nil {
		d.stopWatch()
		for _, shutdown := range d.objects.shutdown {
			shutdown()
		}
	}
	for _, s := range d.services() {
		errs = append(errs, s.Stop())
	}
	errs = append(errs, d.runner.Stop())
	d.records.close()
	for _, s := range d.separate {
		errs = append(errs, s.stop())
	}
	if d.cp != nil {
		errs = append(errs, d.cp.Stop())
	}
	if d.volumes.basePath != "" {
		errs = append(errs, os.RemoveAll(d.volumes.basePath))
	}
	return errors.Join(errs...)
}

// finish prints commands to explore the result and keeps everything running until Ctrl-C.
func (d *demo) finish(ctx context.Context) error {
	set, err := binaries.Ensure(ctx, d.screen)
	if err != nil {
		return err
	}
	d.completed = true
	if d.cp == nil {
		d.screen.line("")
		d.screen.line("All steps succeeded.")
		return nil
	}
	if d.exit {
		d.screen.line("")
		d.screen.line(
			"All steps succeeded. Run the demo without DEMO_EXIT=1 to keep the control plane running and explore it.",
		)
		return nil
	}
	d.screen.line("")
	d.screen.line(
		"%s",
		d.screen.paint(bold, "Everything keeps running until you press Ctrl-C. Explore it from another terminal:"),
	)
	d.screen.line("")
	commands := []string{
		"export KUBECONFIG=" + d.cp.Kubeconfig(),
		"alias kubectl=" + set.Path(binaries.Kubectl),
	}
	for _, c := range d.chapters {
		if c.explore == nil {
			continue
		}
		commands = append(commands, "kubectl config set-context --current --namespace="+c.namespace)
		commands = append(commands, c.explore(d)...)
	}
	for _, s := range d.services() {
		commands = append(commands, "tail -f "+s.Log)
	}
	for _, command := range commands {
		d.screen.line(indent+"%s", d.screen.paint(cyan, command))
	}
	d.screen.line("")
	d.began = time.Now()
	return d.until(ctx, func() error { return context.Canceled })
}
