package decide_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readers are the packages that read from the API server and from Kafka.
var readers = map[string]bool{"lookup": true, "evaluate": true}

// Evictions of protected pods are allowed on live inputs only. An input is live if it was made with FromLiveRead, so
// only code that reads may call it: the fields of Input are private to this package, which has no client.
func TestOnlyCodeThatReadsMakesLiveInputs(t *testing.T) {
	t.Parallel()
	calls := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			function := call.Fun
			if index, ok := function.(*ast.IndexExpr); ok {
				function = index.X
			}
			name := ""
			switch f := function.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			if name == "FromLiveRead" {
				calls++
				assert.True(t, readers[file.Name.Name], "%s makes a live input without a read", path)
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	assert.Positive(t, calls)
}
