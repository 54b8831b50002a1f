package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// flagsProgram prints the flags of a service's command as JSON. It is compiled as if it were part of the service,
// because other modules cannot import internal/app.
//
//go:embed flags.go.txt
var flagsProgram string

// command is the output of flagsProgram for one command.
type command struct {
	Path, Short string
	Flags       []struct{ Name, Type, Default, Usage string }
}

// flagsPage lists the flags of each service and of its subcommands.
func flagsPage(root string, services []string) (string, error) {
	var page strings.Builder
	page.WriteString(
		"# Flags\n\nGenerated from the commands of the services. `--help` of a command prints the same.\n",
	)
	var missing []error
	for _, service := range services {
		commands, err := commandsOf(root, service)
		if err != nil {
			return "", err
		}
		for _, c := range commands {
			if len(c.Flags) == 0 {
				continue
			}
			fmt.Fprintf(
				&page,
				"\n## %s\n\n%s\n\n| flag | type | default | meaning |\n| --- | --- | --- | --- |\n",
				c.Path,
				sentence(c.Short),
			)
			for _, f := range c.Flags {
				if f.Usage == "" {
					missing = append(missing, fmt.Errorf("%s: --%s has no description", c.Path, f.Name))
				}
				fmt.Fprintf(
					&page,
					"| %s | %s | %s | %s |\n",
					code("--"+f.Name),
					f.Type,
					code(f.Default),
					cell(sentence(f.Usage)),
				)
			}
		}
	}
	return page.String(), errors.Join(missing...)
}

// commandsOf runs flagsProgram for a service. The environment is empty, because it can change defaults.
func commandsOf(root, service string) ([]command, error) {
	dir := filepath.Join(root, "services", service)
	call, err := commandCall(filepath.Join(dir, "internal", "app"))
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "reference")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	main, overlay := filepath.Join(work, "main.go"), filepath.Join(work, "overlay.json")
	text := strings.NewReplacer("SERVICE", prefix+"services/"+service, "COMMAND", call).Replace(flagsProgram)
	if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
		return nil, err
	}
	target := filepath.Join(dir, "internal", "app", "flags", "main.go")
	mapping, err := json.Marshal(map[string]map[string]string{"Replace": {target: main}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(overlay, mapping, 0o600); err != nil {
		return nil, err
	}
	program := filepath.Join(work, "flags")
	build := exec.Command(
		"go",
		"build",
		"-ldflags=-s -w",
		"-overlay="+overlay,
		"-o",
		program,
		"./internal/app/flags",
	)
	build.Dir = dir
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the flags of %s: %w: %s", service, err, output)
	}
	var stdout, stderr bytes.Buffer
	list := exec.Command(program)
	list.Env, list.Stdout, list.Stderr = []string{}, &stdout, &stderr
	if err := list.Run(); err != nil {
		return nil, fmt.Errorf("list the flags of %s: %w: %s", service, err, stderr.String())
	}
	var commands []command
	if err := json.Unmarshal(stdout.Bytes(), &commands); err != nil {
		return nil, fmt.Errorf("list the flags of %s: %w", service, err)
	}
	return commands, nil
}

// commandCall returns the expression that creates the command of internal/app. A Command with parameters takes the
// environment and a pointer to the exit code.
func commandCall(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Recv != nil || function.Name.Name != "Command" {
				continue
			}
			if function.Type.Params.NumFields() == 0 {
				return "app.Command()", nil
			}
			return "app.Command(func(string) string { return \"\" }, new(int))", nil
		}
	}
	return "", fmt.Errorf("%s has no function Command", dir)
}
