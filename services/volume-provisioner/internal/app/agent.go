package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/agent"
)

// AgentName is the name of the agent: field manager, ServiceAccount and DaemonSet.
const AgentName = "volume-provisioner-agent"

// AgentDefaults returns the default flags of the agent.
func AgentDefaults() agent.Options {
	return agent.Options{
		Manager: AgentName, Node: os.Getenv("NODE_NAME"), AllowedBasePaths: Defaults().AllowedBasePaths,
		MachineIDFile: "/etc/machine-id", Recheck: time.Minute, Timeout: 10 * time.Second,
	}
}

// AgentSpec describes the agent for pkg/app. It runs with the flags of o.
func AgentSpec(o *agent.Options) app.Spec {
	return app.Spec{
		Name:  AgentName,
		Use:   "agent",
		Short: "Create and check the directories of one node",
		Long: `The agent reads the LocalVolumeNode of its node. It creates the directories that the controller has placed
there, writes a marker file into each, and reports the file systems and directories:

  kubectl get localvolumenodes
  kubectl describe localvolumenode NODE

It deletes nothing, except for the directories that a VolumeWipe names. It needs the capabilities CHOWN,
DAC_OVERRIDE and FOWNER, and SYS_ADMIN for sets with quota: XFS.`,
		NoLeaderElection: true,
		NoNamespace:      true,
		Flags:            func(flags *pflag.FlagSet) { addAgentFlags(o, flags) },
		Validate:         func() error { return validateAgent(o) },
		Setup: func(_ context.Context, env app.Env) (app.Components, error) {
			return agent.Setup(env, *o)
		},
	}
}

func addAgentFlags(o *agent.Options, flags *pflag.FlagSet) {
	flags.StringVar(&o.Node, "node-name", o.Node, "name of the node (env NODE_NAME)")
	flags.StringSliceVar(&o.AllowedBasePaths, "allowed-base-paths", o.AllowedBasePaths,
		"directories of the node that base paths may be, or be in; the same value as that of the controller")
	flags.StringVar(&o.MachineIDFile, "machine-id-file", o.MachineIDFile, "file with the id of the machine")
	flags.DurationVar(&o.Recheck, "recheck-interval", o.Recheck,
		"time between two checks of the file systems and directories; changes of mounts are noticed at once")
	flags.DurationVar(&o.Timeout, "disk-timeout", o.Timeout,
		"time after which a file system that does not answer is reported as failed")
}

func validateAgent(o *agent.Options) error {
	var problems []error
	if o.Node == "" {
		problems = append(problems, errors.New(`--node-name="": must be set to the name of the node, or set env NODE_NAME`))
	}
	if !filepath.IsAbs(o.MachineIDFile) {
		problems = append(problems, fmt.Errorf("--machine-id-file=%s: must be an absolute path; use for example "+
			"/etc/machine-id", o.MachineIDFile))
	}
	if o.Recheck < time.Second {
		problems = append(problems, fmt.Errorf("--recheck-interval=%s: must be at least 1s", o.Recheck))
	}
	if o.Timeout < time.Second {
		problems = append(problems, fmt.Errorf("--disk-timeout=%s: must be at least 1s", o.Timeout))
	}
	return errors.Join(append(problems, ValidateBasePaths(o.AllowedBasePaths))...)
}
