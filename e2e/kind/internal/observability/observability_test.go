// Package observability checks that the alert rules and dashboards in deploy/ are valid and use existing metrics.
package observability

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var root = filepath.Join("..", "..", "..", "..")

var language = parser.NewParser(parser.Options{})

func TestPrometheusAcceptsTheAlertRules(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "alerts", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, language, slog.New(slog.DiscardHandler))
		require.Empty(t, errs, file)
		for _, group := range groups.Groups {
			for _, rule := range group.Rules {
				assert.NotEmpty(t, rule.Annotations["summary"], "%s: %s", file, rule.Alert)
				assert.NotEmpty(t, rule.Annotations["description"], "%s: %s has no instructions", file, rule.Alert)
				assert.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], "%s: %s", file, rule.Alert)
				metricsExist(t, rule.Alert, rule.Expr)
			}
		}
	}
}

func TestDashboardsUseExistingMetrics(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy", "dashboards", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	uids := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var dashboard struct {
			UID    string
			Title  string
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(data, &dashboard), file)
		assert.Empty(t, uids[dashboard.UID], "%s has the uid of another dashboard", file)
		uids[dashboard.UID] = file
		for _, panel := range dashboard.Panels {
			require.NotEmpty(t, panel.Targets, "%s: %s", file, panel.Title)
			for _, target := range panel.Targets {
				_, err := language.ParseExpr(target.Expr)
				require.NoError(t, err, "%s: %s", file, panel.Title)
				metricsExist(t, panel.Title, target.Expr)
			}
		}
	}
}

var (
	weirMetric = regexp.MustCompile(`\bweir_[a-z_]+`)
	source     = sources()
)

// metricsExist checks that the source code of a service contains every Weir metric of an expression.
func metricsExist(t *testing.T, where, expression string) {
	t.Helper()
	for _, name := range weirMetric.FindAllString(expression, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			base = strings.TrimSuffix(base, suffix)
		}
		exists := strings.Contains(source, `"`+base+`"`) || strings.Contains(source, `"`+name+`"`)
		assert.True(t, exists, "%s: no service has the metric %s", where, name)
	}
}

// sources returns the source code of all services and of pkg.
func sources() string {
	var text strings.Builder
	for _, dir := range []string{"services", "pkg"} {
		_ = filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			isGo := filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go")
			isJava := filepath.Ext(path) == ".java" && strings.Contains(path, "/src/main/")
			if err != nil || !isGo && !isJava {
				return nil
			}
			data, err := os.ReadFile(path)
			text.Write(data)
			return err
		})
	}
	return text.String()
}
