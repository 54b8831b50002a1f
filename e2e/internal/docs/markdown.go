// Package docs executes the shell commands of the documentation, so that none of them becomes stale. e2e/README.md
// describes the annotations for authors.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Executor says where the commands of a block are executed.
type Executor string

// The executors. Their names are the values of run= in the info string of a code block.
const (
	// Local runs in the root directory of the repository, without a cluster.
	Local Executor = "local"
	// Embedded runs on an embedded control plane with simulated nodes. The blocks of one file share it.
	Embedded Executor = "embedded"
	// Kind runs in suite smoke on the kind cluster.
	Kind Executor = "kind"
	// CI is for commands that .ci/run executes: they take too long to be executed twice.
	CI Executor = "ci"
	// DryRun is for make bench, fuzz and dev, which run for minutes or do not end: make -n checks that they exist.
	DryRun Executor = "dry-run"
)

var executors = []Executor{Local, Embedded, Kind, CI, DryRun}

// Block is a fenced block of shell commands and its expected output.
type Block struct {
	// File is relative to the root directory of the repository. Line is the line of the opening fence.
	File string
	Line int
	Run  Executor
	// Wait, unless 0, is the time limit for repeating the block until it succeeds with the expected output.
	Wait time.Duration
	// Script is the text of the block.
	Script string
	// Output is the text of the output block that follows, if HasOutput.
	Output    string
	HasOutput bool
}

// Position returns file:line of the block.
func (b Block) Position() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// shells are the languages of blocks that must be executed.
var shells = []string{"sh", "bash", "shell", "console", "zsh"}

// command matches a command in a block without a language, where it would escape execution.
var command = regexp.MustCompile(`(?m)^\s*(\$ |(kubectl|make|docker|helm|git|go|curl|bin/\S+) [a-z-])`)

// Files returns the Markdown files with commands for users: all except generated ones, relative to root.
func Files(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && name != "."
			excluded := []string{"bin", "dist", "generated", "e2e/artifacts", "target", "testdata", "node_modules"}
			if hidden || slices.Contains(excluded, name) || slices.Contains(excluded, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) == ".md" {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list Markdown files: %w", err)
	}
	return files, nil
}

// Blocks returns the command blocks of all Markdown files. It returns an error that lists every block without a
// valid annotation.
func Blocks(root string) ([]Block, error) {
	files, err := Files(root)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var problems []string
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, fmt.Errorf("read documentation: %w", err)
		}
		found, bad := parse(file, string(text))
		blocks = append(blocks, found...)
		problems = append(problems, bad...)
	}
	if len(problems) > 0 {
		return blocks, fmt.Errorf(
			"command blocks without a valid annotation (see e2e/README.md):\n%s",
			strings.Join(problems, "\n"),
		)
	}
	return blocks, nil
}

// fence matches an opening or closing fence, also in a list item.
var fence = regexp.MustCompile("^( *)(```+|~~~+) *(.*)$")

// parse returns the command blocks of a file and one line for each problem.
func parse(file, text string) (blocks []Block, problems []string) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		open := fence.FindStringSubmatch(lines[i])
		if open == nil {
			continue
		}
		start := i
		var content []string
		for i++; i < len(lines) && !isClosing(lines[i], open[2]); i++ {
			content = append(content, strings.TrimPrefix(lines[i], open[1]))
		}
		body := strings.Join(content, "\n")
		problem := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", file, start+1, fmt.Sprintf(format, args...)))
		}
		info := strings.Fields(open[3])
		switch {
		case len(info) > 1 && info[0] == "text" && info[1] == "output":
			if len(blocks) == 0 || blocks[len(blocks)-1].HasOutput {
				problem("an output block must follow a command block")
				continue
			}
			last := &blocks[len(blocks)-1]
			if last.Run == CI || last.Run == DryRun {
				problem("no test checks the output of a block with run=%s: use a ```text block", last.Run)
				continue
			}
			last.Output, last.HasOutput = body, true
		case len(info) > 0 && slices.Contains(shells, info[0]):
			block, err := annotated(info[1:])
			if err != nil {
				problem("%v", err)
				continue
			}
			block.File, block.Line, block.Script = file, start+1, body
			blocks = append(blocks, block)
		case (len(info) == 0 || info[0] == "text") && command.MatchString(body):
			problem("this block contains a command: use ```sh run=…, or ```text output for expected output")
		}
	}
	return blocks, problems
}

func isClosing(line, open string) bool {
	closing := fence.FindStringSubmatch(line)
	return closing != nil && closing[3] == "" && strings.HasPrefix(closing[2], open)
}

// annotated parses the words after the language of an info string.
func annotated(words []string) (Block, error) {
	var block Block
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "run":
			block.Run = Executor(value)
			if !slices.Contains(executors, block.Run) {
				return block, fmt.Errorf("run=%s: must be one of %v", value, executors)
			}
		case "wait":
			wait, err := time.ParseDuration(value)
			if err != nil || wait <= 0 {
				return block, fmt.Errorf("wait=%s: must be a duration such as 60s", value)
			}
			block.Wait = wait
		default:
			return block, fmt.Errorf("unknown annotation %q: use run= and wait=", word)
		}
	}
	if block.Run == "" {
		return block, fmt.Errorf("run= is missing: must be one of %v", executors)
	}
	return block, nil
}

// Commands returns the commands of the script: lines without comments, with continuation lines joined.
func (b Block) Commands() []string {
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(b.Script, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, line)
		}
	}
	return commands
}
