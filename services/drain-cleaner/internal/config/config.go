// Package config reads how drain-cleaner is to behave: Strimzi's environment variables, and flags of its own.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-dev/weir/pkg/admission"
	"github.com/weir-dev/weir/services/drain-cleaner/internal/decide"
)

// Where the serving certificate comes from.
const (
	// CertificateAuto is CertificateSecret where Strimzi's variables name one, CertificateFiles where CertificateDir holds a
	// certificate, and CertificateOwn otherwise.
	CertificateAuto = "auto"
	// CertificateOwn is an authority of its own, kept in a Secret and published in the webhook's configuration.
	CertificateOwn = "own"
	// CertificateFiles are tls.crt and tls.key in CertificateDir: a mounted Secret, for example cert-manager's.
	CertificateFiles = "files"
	// CertificateSecret is a Secret that is watched.
	CertificateSecret = "secret"
)

// Config is all that can be set.
type Config struct {
	// Settings are those of Strimzi's Drain Cleaner.
	decide.Settings

	// WebhookAddress serves POST /drainer over TLS.
	WebhookAddress string
	// ReviewDeadline is the longest that an answer may take.
	ReviewDeadline time.Duration
	// Linger is how long reviews are answered after the process was told to stop.
	Linger time.Duration
	// ClientCAFile holds the authorities that have to have signed the API server's client certificate; none is asked for where empty.
	ClientCAFile string

	// CertificateSource is one of the constants above.
	CertificateSource string
	// CertificateDir holds tls.crt and tls.key with CertificateFiles.
	CertificateDir string
	// SecretNamespace, SecretName, SecretCertKey and SecretKeyKey name the Secret of CertificateOwn and CertificateSecret.
	SecretNamespace, SecretName, SecretCertKey, SecretKeyKey string
	// CertificateMargin is how long before its certificate expires a replica is no longer ready.
	CertificateMargin time.Duration
	// Lifetimes of the own certificates, and how often they are looked at; the defaults of pkg/admission where 0. Not for users.
	Lifetimes  admission.Lifetimes
	IssueEvery time.Duration
	// WebhookConfiguration gets the caBundle with CertificateOwn.
	WebhookConfiguration string

	// ServiceName and Namespace are its own: the names in its certificate, and where its Leases are.
	ServiceName, Namespace string
	// SnapshotAge is how old what Kafka said may be for a denial.
	SnapshotAge time.Duration
	// ProbeEvery is the time between looks at clusters of which nobody drains a broker. Not for users.
	ProbeEvery time.Duration
	// Patience says how long claims outlast what can be seen.
	Patience decide.Patience

	// watch are Strimzi's variables about the Secret, for Validate.
	watch watch
}

type watch struct {
	enabled        bool
	namespace, pod string
	secret, keys   string
}

// FromEnv gives the defaults, with what the environment says: the variables of Strimzi's Drain Cleaner, with its defaults.
func FromEnv(env func(string) string) Config {
	c := Config{
		Settings: decide.Settings{
			DrainKafka:     truth(env("STRIMZI_DRAIN_KAFKA"), true),
			DrainZooKeeper: truth(env("STRIMZI_DRAIN_ZOOKEEPER"), true),
			DenyEviction:   truth(env("STRIMZI_DENY_EVICTION"), true),
			Namespaces:     namespaces(env("STRIMZI_DRAIN_NAMESPACES")),
		},
		WebhookAddress: ":8443", ReviewDeadline: 8 * time.Second, Linger: 10 * time.Second,
		CertificateSource: CertificateAuto, CertificateDir: "/etc/webhook-certificates", CertificateMargin: time.Hour,
		SecretCertKey: "tls.crt", SecretKeyKey: "tls.key",
		WebhookConfiguration: "weir-drain-cleaner", ServiceName: "weir-drain-cleaner", Namespace: cmp.Or(env("POD_NAMESPACE"), "weir-system"),
		SnapshotAge: 2 * time.Second, ProbeEvery: 30 * time.Second, Patience: decide.DefaultPatience,
		watch: watch{
			enabled:   truth(env("STRIMZI_CERTIFICATE_WATCH_ENABLED"), false),
			namespace: env("STRIMZI_CERTIFICATE_WATCH_NAMESPACE"), pod: env("STRIMZI_CERTIFICATE_WATCH_POD_NAME"),
			secret: cmp.Or(env("STRIMZI_CERTIFICATE_WATCH_SECRET_NAME"), "strimzi-drain-cleaner"),
			keys:   cmp.Or(env("STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS"), "tls.crt,tls.key"),
		},
	}
	if c.watch.enabled {
		c.CertificateSource, c.SecretNamespace, c.SecretName = CertificateSecret, c.watch.namespace, c.watch.secret
		if keys := list(c.watch.keys); len(keys) == 2 {
			c.SecretCertKey, c.SecretKeyKey = keys[0], keys[1]
		}
	}
	return c
}

// truth reads a boolean as Java does: anything but true, in any case, is false.
func truth(value string, otherwise bool) bool {
	if value == "" {
		return otherwise
	}
	return strings.EqualFold(strings.TrimSpace(value), "true")
}

// namespaces is empty for all: where the list is empty, or one of its entries is *.
func namespaces(value string) []string {
	all := list(value)
	if slices.Contains(all, "*") {
		return nil
	}
	return all
}

func list(value string) []string {
	var all []string
	for entry := range strings.SplitSeq(value, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}

// AddFlags registers the flags.
func (c *Config) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.DrainKafka, "drain-kafka", c.DrainKafka, "look after Strimzi's Kafka pods (env STRIMZI_DRAIN_KAFKA)")
	flags.BoolVar(&c.DrainZooKeeper, "drain-zookeeper", c.DrainZooKeeper, "look after Strimzi's ZooKeeper pods (env STRIMZI_DRAIN_ZOOKEEPER)")
	flags.BoolVar(&c.DenyEviction, "deny-eviction", c.DenyEviction, "deny evictions of Strimzi's pods; false is the legacy mode, which needs a PodDisruptionBudget with maxUnavailable 0 (env STRIMZI_DENY_EVICTION)")
	flags.Var((*namespaceList)(&c.Namespaces), "drain-namespaces", "only namespaces whose evictions are looked at, separated by commas; empty or * for all (env STRIMZI_DRAIN_NAMESPACES)")
	flags.BoolVar(&c.RequireNodeCordoned, "require-node-cordoned", c.RequireNodeCordoned, "without a policy too, roll pods only off nodes that are unschedulable or tainted NoSchedule or NoExecute")
	flags.StringVar(&c.WebhookAddress, "webhook-address", c.WebhookAddress, "address that serves POST /drainer over TLS")
	flags.DurationVar(&c.ReviewDeadline, "review-deadline", c.ReviewDeadline, "longest time for an answer; a shorter timeoutSeconds of the webhook's configuration counts")
	flags.DurationVar(&c.Linger, "linger", c.Linger, "how long reviews are still answered after a SIGTERM, until the API server has another endpoint")
	flags.StringVar(&c.ClientCAFile, "client-ca-file", c.ClientCAFile, "PEM file of the authorities that have to have signed the API server's client certificate; empty to ask for none")
	flags.StringVar(&c.CertificateSource, "certificate-source", c.CertificateSource, "where the serving certificate comes from: own, files, secret, or auto")
	flags.StringVar(&c.CertificateDir, "certificate-dir", c.CertificateDir, "directory of tls.crt and tls.key with --certificate-source=files")
	flags.StringVar(&c.SecretName, "certificate-secret", c.SecretName, "Secret of the certificate with --certificate-source=own or secret; <service-name>-tls where empty (env STRIMZI_CERTIFICATE_WATCH_SECRET_NAME)")
	flags.DurationVar(&c.CertificateMargin, "certificate-margin", c.CertificateMargin, "how long before its certificate expires a replica is no longer ready")
	flags.StringVar(&c.WebhookConfiguration, "webhook-configuration", c.WebhookConfiguration, "ValidatingWebhookConfiguration that gets the caBundle with --certificate-source=own")
	flags.StringVar(&c.ServiceName, "service-name", c.ServiceName, "Service that the API server calls, as in the own certificate")
	flags.StringVar(&c.Namespace, "service-namespace", c.Namespace, "namespace of that Service, of the certificate's Secret and of the Leases (env POD_NAMESPACE)")
	flags.DurationVar(&c.SnapshotAge, "snapshot-age", c.SnapshotAge, "how old what Kafka said may be for a denial; an eviction is never allowed on it")
	flags.DurationVar(&c.Patience.Lapse, "claim-lapse", c.Patience.Lapse, "how long a pod that was allowed to go and does not go keeps others; longer than the API server's --request-timeout")
	flags.DurationVar(&c.Patience.Settle, "claim-settle", c.Patience.Settle, "how long a replacement has to have been ready before Kafka's word that it is in sync counts; longer than broker.session.timeout.ms")
}

// namespaceList reads a list as Strimzi does.
type namespaceList []string

func (n *namespaceList) String() string { return strings.Join(*n, ",") }
func (n *namespaceList) Type() string   { return "strings" }
func (n *namespaceList) Set(value string) error {
	*n = namespaces(value)
	return nil
}

// Validate fills in what depends on other values, and names what cannot be used.
func (c *Config) Validate() error {
	var found []error
	fault := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if c.watch.enabled {
		if c.watch.namespace == "" {
			fault("STRIMZI_CERTIFICATE_WATCH_NAMESPACE is empty: with STRIMZI_CERTIFICATE_WATCH_ENABLED=true it has to name the Secret's namespace")
		}
		if c.watch.pod == "" {
			fault("STRIMZI_CERTIFICATE_WATCH_POD_NAME is empty: with STRIMZI_CERTIFICATE_WATCH_ENABLED=true it has to name the pod")
		}
		if keys := list(c.watch.keys); len(keys) != 2 {
			fault("STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS=%q: name the keys of the certificate and of its key, for example tls.crt,tls.key", c.watch.keys)
		}
	}
	if _, _, err := net.SplitHostPort(c.WebhookAddress); err != nil {
		fault("--webhook-address=%q: must be host:port or :port", c.WebhookAddress)
	}
	if !slices.Contains([]string{CertificateAuto, CertificateOwn, CertificateFiles, CertificateSecret}, c.CertificateSource) {
		fault("--certificate-source=%q: must be own, files, secret or auto", c.CertificateSource)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"review-deadline", c.ReviewDeadline}, {"snapshot-age", c.SnapshotAge}, {"claim-lapse", c.Patience.Lapse}, {"claim-settle", c.Patience.Settle},
	} {
		if d.value <= 0 {
			fault("--%s=%s: must be more than 0", d.flag, d.value)
		}
	}
	if c.Linger < 0 || c.CertificateMargin < 0 {
		fault("--linger=%s, --certificate-margin=%s: must not be less than 0", c.Linger, c.CertificateMargin)
	}
	if c.ServiceName == "" || c.Namespace == "" {
		fault("--service-name=%q, --service-namespace=%q: both are needed", c.ServiceName, c.Namespace)
	}
	c.SecretNamespace, c.SecretName = cmp.Or(c.SecretNamespace, c.Namespace), cmp.Or(c.SecretName, c.ServiceName+"-tls")
	if c.CertificateSource == CertificateAuto {
		c.CertificateSource = CertificateOwn
		if _, err := os.Stat(filepath.Join(c.CertificateDir, "tls.crt")); err == nil {
			c.CertificateSource = CertificateFiles
		}
	}
	return errors.Join(found...)
}

// Names that the own certificate is for.
func (c *Config) Names() []string {
	return []string{c.ServiceName + "." + c.Namespace + ".svc", c.ServiceName + "." + c.Namespace + ".svc.cluster.local", c.ServiceName + "." + c.Namespace, c.ServiceName}
}
