// Command modules writes go.work, and in each go.mod the require and replace lines of sibling modules. With them every
// module builds with GOWORK=off.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	resolve "golang.org/x/mod/module"
)

const (
	prefix    = "github.com/weir-dev/weir/"
	goVersion = "1.26.0"
	// siblingVersion does not exist, so that a missing replace line is an error.
	siblingVersion = "v0.0.0"
)

func main() {
	root := flag.String("root", "..", "directory of the repository")
	check := flag.Bool("check", false, "write nothing; fail if a file is stale")
	flag.Parse()

	stale, err := run(*root, !*check)
	if err != nil {
		fmt.Fprintln(os.Stderr, "modules:", err)
		os.Exit(1)
	}
	for _, file := range stale {
		if *check {
			fmt.Fprintf(os.Stderr, "%s does not list its sibling modules; run scripts/modules\n", file)
		} else {
			fmt.Println("wrote", file)
		}
	}
	if *check && len(stale) > 0 {
		os.Exit(1)
	}
}

// siblingsOf returns the sibling modules that a module may require.
func siblingsOf(module string) []string {
	switch {
	case module == "generated":
		return []string{"apis"}
	case module == "scripts":
		return []string{"apis", "generated"}
	case module == "e2e", strings.HasPrefix(module, "services/"):
		return []string{"apis", "generated", "pkg"}
	default:
		return nil
	}
}

// run returns the stale files. If write is set it also writes them.
func run(root string, write bool) (stale []string, err error) {
	modules, err := discover(root)
	if err != nil {
		return nil, err
	}
	wanted := map[string][]byte{"go.work": workFile(modules)}
	for _, module := range modules {
		file := filepath.Join(module, "go.mod")
		if wanted[file], err = modFile(root, module); err != nil {
			return nil, err
		}
	}
	for file, content := range wanted {
		path := filepath.Join(root, file)
		current, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if bytes.Equal(current, content) {
			continue
		}
		stale = append(stale, file)
		if write {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(stale)
	return stale, nil
}

// discover returns the modules of the workspace. It excludes scripts/tools: these modules pin tools, each with its own
// dependencies.
func discover(root string) ([]string, error) {
	var modules []string
	for _, pattern := range []string{"*/go.mod", "services/*/go.mod"} {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, match := range matches {
			module, err := filepath.Rel(root, filepath.Dir(match))
			if err != nil {
				return nil, err
			}
			modules = append(modules, filepath.ToSlash(module))
		}
	}
	slices.Sort(modules)
	return modules, nil
}

// workFile returns the content of go.work.
func workFile(modules []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "go %s\n\nuse (\n", goVersion)
	for _, module := range modules {
		fmt.Fprintf(&b, "\t./%s\n", module)
	}
	b.WriteString(")\n")
	return b.Bytes()
}

// modFile returns the content of a module's go.mod.
func modFile(root, module string) ([]byte, error) {
	path := filepath.Join(root, module, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(path, data, nil)
	if err != nil {
		return nil, err
	}
	if want := prefix + module; file.Module.Mod.Path != want {
		return nil, fmt.Errorf("%s/go.mod names module %s, want %s", module, file.Module.Mod.Path, want)
	}
	if err := file.AddGoStmt(goVersion); err != nil {
		return nil, err
	}
	direct, indirect, err := siblingsImported(root, module)
	if err != nil {
		return nil, err
	}
	var requires []*modfile.Require
	for _, require := range file.Require {
		if !strings.HasPrefix(require.Mod.Path, prefix) {
			requires = append(requires, require)
		}
	}
	for _, sibling := range siblingsOf(module) {
		if direct[sibling] || indirect[sibling] {
			requires = append(requires, &modfile.Require{
				Mod:      resolve.Version{Path: prefix + sibling, Version: siblingVersion},
				Indirect: !direct[sibling],
			})
		}
	}
	file.SetRequireSeparateIndirect(requires)

	for _, replace := range slices.Clone(file.Replace) {
		if strings.HasPrefix(replace.Old.Path, prefix) {
			if err := file.DropReplace(replace.Old.Path, replace.Old.Version); err != nil {
				return nil, err
			}
		}
	}
	up := strings.Repeat("../", strings.Count(module, "/")+1)
	for _, sibling := range siblingsOf(module) {
		if err := file.AddReplace(prefix+sibling, "", up+sibling, ""); err != nil {
			return nil, err
		}
	}
	file.Cleanup()
	return file.Format()
}

// siblingsImported returns the siblings that the module's packages and tests import, and those that it imports only
// indirectly. `go mod tidy` would find the same, but needs a correct go.mod.
func siblingsImported(root, module string) (direct, indirect map[string]bool, err error) {
	direct, indirect = map[string]bool{}, map[string]bool{}
	if module == "generated" {
		// The generators need this line before the first file is generated.
		direct["apis"] = true
		return direct, indirect, nil
	}
	packages, err := packagesImported(filepath.Join(root, module), true)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	found := direct
	for len(packages) > 0 {
		var next []string
		for _, name := range packages {
			sibling := siblingOf(name, siblingsOf(module))
			if sibling == "" || seen[name] {
				continue
			}
			seen[name], found[sibling] = true, true
			imports, err := packagesImported(filepath.Join(root, name), false)
			if err != nil {
				return nil, nil, err
			}
			next = append(next, imports...)
		}
		packages, found = next, indirect
	}
	return direct, indirect, nil
}

// siblingOf returns the sibling that contains a package, or "".
func siblingOf(name string, siblings []string) string {
	for _, sibling := range siblings {
		if strings.HasPrefix(name+"/", sibling+"/") {
			return sibling
		}
	}
	return ""
}

// packagesImported returns the directories of the repository's packages that the Go files in dir import. If all is
// set it includes subdirectories and tests.
func packagesImported(dir string, all bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // the compiler reports a package that does not exist
		}
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != dir &&
			(!all || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" || !all && strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			if name, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), prefix); ours {
				found = append(found, name)
			}
		}
		return nil
	})
	return found, err
}
