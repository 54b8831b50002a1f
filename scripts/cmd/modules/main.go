// Command modules writes go.work and the lines by which each module of the repository requires and replaces its siblings,
// so that every module builds with GOWORK=off too.
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
	// siblingVersion never resolves anywhere: it forces the replace line to be there.
	siblingVersion = "v0.0.0"
)

func main() {
	root := flag.String("root", "..", "directory of the repository")
	check := flag.Bool("check", false, "change nothing; fail where something would change")
	flag.Parse()

	stale, err := run(*root, !*check)
	if err != nil {
		fmt.Fprintln(os.Stderr, "modules:", err)
		os.Exit(1)
	}
	for _, file := range stale {
		if *check {
			fmt.Fprintf(os.Stderr, "%s does not hold the lines of its siblings; run scripts/modules\n", file)
		} else {
			fmt.Println("wrote", file)
		}
	}
	if *check && len(stale) > 0 {
		os.Exit(1)
	}
}

// siblingsOf is the fence between the modules: which of them each may require.
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

// run returns the files that are not as they should be, and with write set makes them so.
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

// discover lists the modules of the workspace. The modules below scripts/tools only pin tools: each has versions of its own.
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

func workFile(modules []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "go %s\n\nuse (\n", goVersion)
	for _, module := range modules {
		fmt.Fprintf(&b, "\t./%s\n", module)
	}
	b.WriteString(")\n")
	return b.Bytes()
}

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

// siblingsImported returns the siblings that the module's packages and tests import, and those that the imported packages
// import in their turn: what `go mod tidy` would find, without needing a go.mod that is right already.
func siblingsImported(root, module string) (direct, indirect map[string]bool, err error) {
	direct, indirect = map[string]bool{}, map[string]bool{}
	if module == "generated" {
		// The generators resolve the types through its go.mod even while nothing is generated yet.
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

func siblingOf(name string, siblings []string) string {
	for _, sibling := range siblings {
		if strings.HasPrefix(name+"/", sibling+"/") {
			return sibling
		}
	}
	return ""
}

// packagesImported returns the repository's packages, by directory, that the Go files in dir import: with all of a module
// its subdirectories and tests too, otherwise only those of the package itself.
func packagesImported(dir string, all bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // an import of what is not written yet: the compiler says so better
		}
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != dir && (!all || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
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
