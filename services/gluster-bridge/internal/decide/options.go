package decide

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	number   = regexp.MustCompile(`^[0-9]{1,9}$`)
	seconds  = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,3})?$`)
	switches = regexp.MustCompile(`^(on|off|yes|no|true|false|enable|disable)$`)
	level    = regexp.MustCompile(`^(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL|NONE)$`)
	flag     = regexp.MustCompile(`^$`)
)

// allowed are the options of the FUSE client that a storage may set, with the form of their values. Options that name
// files, servers, users or SELinux contexts are not allowed: they would reach beyond the storage.
var allowed = map[string]*regexp.Regexp{
	"log-level":                   level,
	"attribute-timeout":           seconds,
	"entry-timeout":               seconds,
	"negative-timeout":            seconds,
	"background-qlen":             number,
	"congestion-threshold":        number,
	"lru-limit":                   number,
	"invalidate-limit":            number,
	"event-history":               switches,
	"reader-thread-count":         regexp.MustCompile(`^([1-9]|[1-5][0-9]|6[0-4])$`),
	"direct-io-mode":              regexp.MustCompile(`^(enable|disable|auto)$`),
	"gid-timeout":                 number,
	"kernel-writeback-cache":      switches,
	"attr-times-granularity":      number,
	"auto-invalidation":           switches,
	"fetch-attempts":              number,
	"resolve-gids":                flag,
	"acl":                         flag,
	"use-readdirp":                switches,
	"no-root-squash":              switches,
	"thin-client":                 flag,
	"enable-ino32":                flag,
	"mem-accounting":              flag,
	"flush-handle-interrupt":      switches,
	"fuse-dev-eperm-ratelimit-ns": number,
}

// Options returns the options in mount.glusterfs' spelling, sorted and without duplicates, and a finding for each one
// that is not allowed. Underscores are accepted, as in log_level.
func Options(given []string) ([]string, []Finding) {
	var options []string
	var findings []Finding
	seen := map[string]string{}
	for _, option := range given {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		canonical := strings.ReplaceAll(name, "_", "-")
		form, known := allowed[canonical]
		switch previous, again := seen[canonical]; {
		case name == "":
			findings = append(findings, Finding{"options", option, "is empty; remove the extra comma"})
			continue
		case !known:
			findings = append(findings, Finding{"options", option,
				"is not an allowed mount option; allowed are " + strings.Join(AllowedOptions(), ", ")})
			continue
		case !form.MatchString(value):
			findings = append(findings, Finding{"options", option,
				fmt.Sprintf("the value of %s must match %s", canonical, form)})
			continue
		case again && previous != value:
			findings = append(findings, Finding{"options", option,
				fmt.Sprintf("%s is already set to %q; set it once", canonical, previous)})
			continue
		case again:
			continue
		}
		seen[canonical] = value
		if value != "" {
			canonical += "=" + value
		}
		options = append(options, canonical)
	}
	slices.Sort(options)
	return options, findings
}

// AllowedOptions returns the names of the allowed options.
func AllowedOptions() []string {
	names := make([]string, 0, len(allowed))
	for name := range allowed {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
