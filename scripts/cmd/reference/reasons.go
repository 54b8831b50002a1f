package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// group is a block of constants with a common comment, such as "Reasons of the condition Ready."
type group struct {
	title     string
	constants []constant
}

type constant struct{ value, description string }

// reasonsPage lists the exported string constants of the API packages: condition types, reasons and states.
func reasonsPage(root string, _ []string) (string, error) {
	var page strings.Builder
	page.WriteString("# Conditions, reasons and states\n\n" +
		"The values that appear in status, events, metrics and termination messages. " +
		"Generated from the constants in apis/.\n")
	dirs, err := packageDirs(filepath.Join(root, "apis"))
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		groups, err := groupsIn(dir)
		if err != nil {
			return "", err
		}
		if len(groups) == 0 {
			continue
		}
		name, err := filepath.Rel(root, dir)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&page, "\n## %s\n", filepath.ToSlash(name))
		for _, g := range groups {
			fmt.Fprintf(&page, "\n### %s\n\n| value | meaning |\n| --- | --- |\n", strings.TrimSuffix(g.title, "."))
			for _, c := range g.constants {
				fmt.Fprintf(&page, "| %s | %s |\n", code(c.value), cell(c.description))
			}
		}
	}
	return page.String(), nil
}

// packageDirs returns the directories below dir that contain Go files.
func packageDirs(dir string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	slices.Sort(dirs)
	return slices.Compact(dirs), err
}

// groupsIn returns the groups of constants in a package, in the order of files and lines.
func groupsIn(dir string) ([]group, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var groups []group
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.Base(path), "zz_") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			block, ok := declaration.(*ast.GenDecl)
			if !ok || block.Tok != token.CONST || !block.Lparen.IsValid() {
				continue
			}
			g, err := groupOf(fset, block)
			if err != nil {
				return nil, err
			}
			if len(g.constants) > 0 {
				groups = append(groups, g)
			}
		}
	}
	return groups, nil
}

// groupOf returns the group of a block of constants. It is empty if the block is not about conditions, reasons or
// states.
func groupOf(fset *token.FileSet, block *ast.GenDecl) (group, error) {
	title := firstSentence(block.Doc.Text())
	lower := strings.ToLower(title)
	if !slices.ContainsFunc(
		[]string{"reason", "condition", "state"},
		func(word string) bool { return strings.Contains(lower, word) },
	) {
		return group{}, nil
	}
	g := group{title: title}
	for _, spec := range block.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if !name.IsExported() || i >= len(spec.Values) {
				continue
			}
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				return group{}, err
			}
			text := spec.Doc.Text() + spec.Comment.Text()
			if strings.TrimSpace(text) == "" {
				return group{}, fmt.Errorf(
					"%s: constant %s has no comment; describe its meaning",
					fset.Position(name.Pos()),
					name.Name,
				)
			}
			g.constants = append(g.constants, constant{value, describe(name.Name, text)})
		}
	}
	return g, nil
}

// describe returns the comment of a constant without the name at its start: "ReasonX: text" and "ReasonX is text".
func describe(name, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	rest, found := strings.CutPrefix(text, name)
	if !found {
		return sentence(text)
	}
	for _, verb := range []string{": ", " is ", " means that ", " means "} {
		if after, ok := strings.CutPrefix(rest, verb); ok {
			return sentence(after)
		}
	}
	return sentence(rest)
}

// firstSentence returns the text up to the first full stop that ends a sentence.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if at := strings.Index(text, ". "); at >= 0 {
		return text[:at+1]
	}
	return text
}
