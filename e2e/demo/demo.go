package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-dev/weir/e2e/internal/env"
	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/binaries"
)

// namespace is the one that the manifest of seed 001 names.
const namespace = "kafka-connect-poc"

// pace is how long a person gets to read a step.
const pace = 2 * time.Second

// demo is one run.
type demo struct {
	screen *screen
	exit   bool
	// seen is whether all steps are done.
	seen bool

	root      string
	cp        *testkit.ControlPlane
	scheduler *env.ConnectScheduler
	runner    *env.Process
	objects   *objects
	stopWatch context.CancelFunc

	step  int
	began time.Time
}

// do announces a step with a sentence, does it within its limit, and lets a person read what came of it.
func (d *demo) do(ctx context.Context, sentence string, limit time.Duration, act func(context.Context) error) error {
	d.step++
	d.began = time.Now()
	d.screen.line("")
	d.screen.line("%s", d.screen.paint(bold, fmt.Sprintf("%2d %s", d.step, sentence)))
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := act(within); err != nil {
		d.screen.keep()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if within.Err() != nil {
			return fmt.Errorf("step %d was not done within %s: %w", d.step, limit, err)
		}
		return fmt.Errorf("step %d: %w", d.step, err)
	}
	d.screen.keep()
	return d.rest(ctx)
}

func (d *demo) rest(ctx context.Context) error {
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

// done prints what has been checked.
func (d *demo) done(format string, args ...any) {
	d.screen.keep()
	d.screen.line(indent+"%s %s", d.screen.paint(green, "✓"), fmt.Sprintf(format, args...))
}

// say prints a line of explanation.
func (d *demo) say(format string, args ...any) {
	d.screen.line("%s", d.screen.paint(dim, indent+fmt.Sprintf(format, args...)))
}

// kubectl shows a command and runs it, as an administrator.
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
	d.screen.line(indent+"%s", d.screen.paint(cyan, "$ kubectl -n "+namespace+" "+strings.Join(shown, " ")))
	_, err := d.cp.Kubectl(ctx, append([]string{"-n", namespace}, run...)...)
	return err
}

// during shows that something is under way while it is.
func (d *demo) during(what string, act func() error) error {
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
			wheel := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
			if d.screen.tty {
				d.screen.show([]string{fmt.Sprintf(indent+"%s %s %s", d.screen.paint(cyan, string(wheel[frame%len(wheel)])), what,
					d.screen.paint(dim, fmt.Sprintf("%.0fs", time.Since(began).Seconds())))})
			}
		}
	}
}

// until shows what happens until something holds. It looks whenever a watch has told of a change.
func (d *demo) until(ctx context.Context, holds func() error) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		d.screen.show(d.table())
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case c := <-d.objects.changes:
			d.tell(c, d.objects.take(c))
		case <-second.C:
			if fault := d.fault(); fault != nil {
				return fault
			}
		case <-ctx.Done():
			return err
		}
	}
}

// fault tells if something that has to run has ended.
func (d *demo) fault() error {
	errs := []error{d.cp.Err()}
	if d.scheduler != nil {
		errs = append(errs, d.scheduler.Fault())
	}
	if d.runner != nil {
		errs = append(errs, d.runner.Fault())
	}
	return errors.Join(errs...)
}

// tail is the end of connect-scheduler's log, for one who has to find out what went wrong.
func (d *demo) tail() string {
	if d.scheduler == nil || d.scheduler.Fault() != nil {
		return ""
	}
	return d.scheduler.Tail(10)
}

// close ends all that was started and removes its files.
func (d *demo) close() error {
	var errs []error
	if d.stopWatch != nil {
		d.stopWatch()
		for _, shutdown := range d.objects.shutdown {
			shutdown()
		}
	}
	if d.scheduler != nil {
		errs = append(errs, d.scheduler.Stop())
	}
	errs = append(errs, d.runner.Stop())
	if d.cp != nil {
		errs = append(errs, d.cp.Stop())
	}
	return errors.Join(errs...)
}

// farewell tells how to look around, and stays until told to stop.
func (d *demo) farewell(ctx context.Context) error {
	set, err := binaries.Ensure(ctx, d.screen)
	if err != nil {
		return err
	}
	d.seen = true
	if d.exit {
		d.screen.line("")
		d.screen.line("Every step did what it says. Without DEMO_EXIT=1 all of it stays up to look around.")
		return nil
	}
	d.screen.line("")
	d.screen.line("%s", d.screen.paint(bold, "Look around from another terminal; all of it stays up until Ctrl-C here."))
	d.screen.line("")
	for _, command := range []string{
		"export KUBECONFIG=" + d.cp.Kubeconfig(),
		"alias kubectl=" + set.Path(binaries.Kubectl),
		"kubectl config set-context --current --namespace=" + namespace,
		"kubectl get kafkaconnectors -o wide",
		"kubectl get pods -L io.confluent.csid.connect.type -o wide",
		"kubectl describe kafkaconnector clicks",
		"kubectl get kafkaconnector clicks -o jsonpath='{range .status.tasks[*]}{.id} {.state} {.configHash}{\"\\n\"}{end}'",
		"kubectl annotate kafkaconnector clicks strimzi.io/restart-task=3",
		`kubectl patch kafkaconnector test --type=merge -p '{"spec":{"state":"stopped"}}'`,
		"kubectl delete kafkaconnector clicks",
		"tail -f " + d.scheduler.Log,
	} {
		d.screen.line(indent+"%s", d.screen.paint(cyan, command))
	}
	d.screen.line("")
	d.began = time.Now()
	return d.until(ctx, func() error { return context.Canceled })
}
