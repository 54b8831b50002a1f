package app

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
	"github.com/weir-dev/weir/services/drain-cleaner/internal/kafka"
)

// Values of --certificate-source.
const (
	// CertificateAuto selects CertificateSecret if STRIMZI_CERTIFICATE_WATCH_ENABLED is true, CertificateFiles if
	// CertificateDir contains a certificate, and CertificateOwn otherwise.
	CertificateAuto = "auto"
	// CertificateOwn serves a certificate of drain-cleaner's own CA. Both are in a Secret. The CA is in the caBundle of
	// the ValidatingWebhookConfiguration.
	CertificateOwn = "own"
	// CertificateFiles serves tls.crt and tls.key in CertificateDir, for example from a mounted Secret.
	CertificateFiles = "files"
	// CertificateSecret serves the certificate in a watched Secret.
	CertificateSecret = "secret"
)

// Values of --policies.
const (
	// PoliciesAuto follows policies as soon as the API server serves them. Until then there are none.
	PoliciesAuto = "auto"
	// PoliciesRequired is not ready, and denies evictions of pods that may have a policy, until policies can be read.
	PoliciesRequired = "required"
)

// Config is the configuration of drain-cleaner: its flags and Strimzi's environment variables.
type Config struct {
	// Settings apply to Strimzi's pods without a policy.
	decide.Settings

	// WebhookAddress is the address of POST /drainer over TLS. Default: :8443.
	WebhookAddress string
	// ReviewDeadline is the maximum duration of a review. Default: 8s.
	ReviewDeadline time.Duration
	// ShutdownDelay is the time after SIGTERM during which reviews are answered. Default: 10s.
	ShutdownDelay time.Duration
	// ClientCAFile contains the CAs of the API server's client certificate. Default: no client certificate is required.
	ClientCAFile string

	// CertificateSource is one of the constants above. Default: CertificateAuto.
	CertificateSource string
	// CertificateDir contains tls.crt and tls.key for CertificateFiles. Default: /etc/webhook-certificates.
	CertificateDir string
	// SecretNamespace, SecretName, SecretCertKey and SecretKeyKey locate the certificate for CertificateOwn and
	// CertificateSecret. Default: the keys tls.crt and tls.key of the Secret <ServiceName>-tls in Namespace.
	SecretNamespace, SecretName, SecretCertKey, SecretKeyKey string
	// CertificateMargin is the time before the expiry of the certificate from which the replica is not ready. Default: 1h.
	CertificateMargin time.Duration
	// Lifetimes and IssueEvery configure CertificateOwn in tests. Default: the defaults of pkg/admission.
	Lifetimes  admission.Lifetimes
	IssueEvery time.Duration
	// WebhookConfiguration is the ValidatingWebhookConfiguration with the caBundle of CertificateOwn.
	WebhookConfiguration string

	// ServiceName and Namespace are the names in the own certificate. Leases are in Namespace.
	ServiceName, Namespace string
	// SnapshotAge is the maximum age of Kafka's state for a denial. Default: 2s.
	SnapshotAge time.Duration
	// Policies is PoliciesAuto or PoliciesRequired. Default: PoliciesAuto.
	Policies string
	// MaxKafkaResponse is the maximum size of a broker's response in bytes. Default: 1 MiB.
	MaxKafkaResponse int32
	// ProbeEvery is the period of Kafka queries without a drain. Tests change it. Default: 30s.
	ProbeEvery time.Duration
	// Patience contains the minimum durations of claims.
	Patience decide.Patience

	watch certificateWatch
	// invalid are the errors of environment variables, for Validate.
	invalid []error
}

// certificateWatch contains Strimzi's variables for the watched Secret.
type certificateWatch struct {
	enabled        bool
	namespace, pod string
	secret, keys   string
}

// FromEnv returns the defaults and the values of Strimzi's environment variables. An empty variable is an unset
// variable. Validate reports invalid values.
func FromEnv(env func(string) string) Config {
	c := Config{
		WebhookAddress: ":8443", ReviewDeadline: 8 * time.Second, ShutdownDelay: 10 * time.Second,
		CertificateSource: CertificateAuto, CertificateDir: "/etc/webhook-certificates", CertificateMargin: time.Hour,
		SecretCertKey: "tls.crt", SecretKeyKey: "tls.key",
		WebhookConfiguration: "weir-drain-cleaner", ServiceName: decide.Manager,
		Namespace: cmp.Or(env("POD_NAMESPACE"), "weir-system"),
		Policies:  PoliciesAuto, SnapshotAge: 2 * time.Second, MaxKafkaResponse: kafka.DefaultMaxResponse,
		ProbeEvery: 30 * time.Second, Patience: decide.DefaultPatience,
		watch: certificateWatch{
			namespace: cmp.Or(env("STRIMZI_CERTIFICATE_WATCH_NAMESPACE"), "strimzi-drain-cleaner"),
			pod:       env("STRIMZI_CERTIFICATE_WATCH_POD_NAME"),
			secret:    cmp.Or(env("STRIMZI_CERTIFICATE_WATCH_SECRET_NAME"), "strimzi-drain-cleaner"),
			keys:      env("STRIMZI_CERTIFICATE_WATCH_SECRET_KEYS"),
		},
	}
	boolean := func(name string, defaultValue bool) bool {
		value, err := parseBool(env(name), defaultValue)
		if err != nil {
			c.invalid = append(c.invalid, fmt.Errorf("%s=%q: %w", name, env(name), err))
		}
		return value
	}
	c.Settings = decide.Settings{
		DrainKafka:     boolean("STRIMZI_DRAIN_KAFKA", true),
		DrainZooKeeper: boolean("STRIMZI_DRAIN_ZOOKEEPER", true),
		DenyEviction:   boolean("STRIMZI_DENY_EVICTION", true),
		Namespaces:     parseNamespaces(env("STRIMZI_DRAIN_NAMESPACES")),
	}
	c.watch.enabled = boolean("STRIMZI_CERTIFICATE_WATCH_ENABLED", false)
	if c.watch.enabled {
		c.CertificateSource, c.SecretNamespace, c.SecretName = CertificateSecret, c.watch.namespace, c.watch.secret
		c.SecretCertKey, c.SecretKeyKey = certificateKeys(parseList(c.watch.keys))
	}
	return c
}

// parseBool accepts the booleans of Quarkus, in upper or lower case. Other values are an error: to Strimzi's Drain
// Cleaner they are false, so that a typing error would leave pods without protection.
func parseBool(value string, defaultValue bool) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "":
		return defaultValue, nil
	case "true", "1", "yes", "y", "on":
		return true, nil
	case "false", "0", "no", "n", "off":
		return false, nil
	}
	return defaultValue, errors.New("must be true, 1, yes, y or on, or false, 0, no, n or off")
}

// certificateKeys returns the keys of the certificate and of its private key. Strimzi's Drain Cleaner serves tls.crt
// and tls.key. Its list of keys only selects the changes that restart it, so any order and number are valid. A list
// with one other *.crt and one other *.key replaces the names.
func certificateKeys(listed []string) (cert, key string) {
	var certs, keys []string
	for _, name := range listed {
		switch filepath.Ext(name) {
		case ".crt":
			certs = append(certs, name)
		case ".key":
			keys = append(keys, name)
		}
	}
	cert, key = "tls.crt", "tls.key"
	if slices.Contains(certs, cert) || slices.Contains(keys, key) || len(certs) != 1 || len(keys) != 1 {
		return cert, key
	}
	return certs[0], keys[0]
}

// parseNamespaces returns nil for all namespaces: for an empty list, and for a list with *.
func parseNamespaces(value string) []string {
	all := parseList(value)
	if slices.Contains(all, "*") {
		return nil
	}
	return all
}

func parseList(value string) []string {
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
	flags.BoolVar(&c.DrainKafka, "drain-kafka", c.DrainKafka,
		"roll Strimzi's Kafka pods (env STRIMZI_DRAIN_KAFKA)")
	flags.BoolVar(&c.DrainZooKeeper, "drain-zookeeper", c.DrainZooKeeper,
		"roll Strimzi's ZooKeeper pods (env STRIMZI_DRAIN_ZOOKEEPER)")
	flags.BoolVar(&c.DenyEviction, "deny-eviction", c.DenyEviction,
		"deny evictions of Strimzi's pods; false is the legacy mode, which requires a PodDisruptionBudget with "+
			"maxUnavailable 0 (env STRIMZI_DENY_EVICTION)")
	flags.Var((*namespaceList)(&c.Namespaces), "drain-namespaces",
		"comma-separated namespaces to watch; empty or * for all (env STRIMZI_DRAIN_NAMESPACES)")
	flags.BoolVar(&c.RequireNodeCordoned, "require-node-cordoned", c.RequireNodeCordoned,
		"roll pods without a policy only if their node is unschedulable or has a NoSchedule or NoExecute taint")
	flags.StringVar(&c.WebhookAddress, "webhook-address", c.WebhookAddress, "address of POST /drainer over TLS")
	flags.DurationVar(&c.ReviewDeadline, "review-deadline", c.ReviewDeadline,
		"maximum duration of a review; a shorter timeoutSeconds of the webhook takes precedence")
	flags.DurationVar(&c.ShutdownDelay, "shutdown-delay", c.ShutdownDelay,
		"time after SIGTERM during which reviews are answered, so that the API server can switch to another endpoint")
	flags.StringVar(&c.ClientCAFile, "client-ca-file", c.ClientCAFile,
		"PEM file with the CAs of the API server's client certificate; if empty, no client certificate is required")
	flags.StringVar(&c.CertificateSource, "certificate-source", c.CertificateSource,
		"source of the serving certificate: own, files, secret or auto")
	flags.StringVar(&c.CertificateDir, "certificate-dir", c.CertificateDir,
		"directory with tls.crt and tls.key for --certificate-source=files")
	flags.StringVar(&c.SecretName, "certificate-secret", c.SecretName,
		"Secret with the certificate for --certificate-source=own or secret (default <service-name>-tls; "+
			"env STRIMZI_CERTIFICATE_WATCH_SECRET_NAME)")
	flags.DurationVar(&c.CertificateMargin, "certificate-margin", c.CertificateMargin,
		"time before the expiry of the certificate from which the replica is not ready")
	flags.StringVar(&c.WebhookConfiguration, "webhook-configuration", c.WebhookConfiguration,
		"ValidatingWebhookConfiguration to write the caBundle to with --certificate-source=own")
	flags.StringVar(&c.ServiceName, "service-name", c.ServiceName,
		"Service that the API server calls; the own certificate is issued for it")
	flags.StringVar(&c.Namespace, "service-namespace", c.Namespace,
		"namespace of the Service, of the certificate's Secret and of the Leases (env POD_NAMESPACE)")
	flags.StringVar(&c.Policies, "policies", c.Policies,
		"auto: follow policies when the API server serves them; required: not ready, and deny evictions of pods that may "+
			"have a policy, until policies can be read")
	flags.DurationVar(&c.SnapshotAge, "snapshot-age", c.SnapshotAge,
		"maximum age of Kafka's state for a denial; evictions are allowed only after a new query")
	flags.Int32Var(&c.MaxKafkaResponse, "kafka-max-response-bytes", c.MaxKafkaResponse,
		"maximum size of a broker's response; the default is enough for about 20,000 partitions. "+
			"Raise it together with the memory limit")
	flags.DurationVar(&c.Patience.Lapse, "claim-lapse", c.Patience.Lapse,
		"time after which the claim of an allowed pod that still exists is released; must be longer than the API server's "+
			"--request-timeout")
	flags.DurationVar(&c.Patience.Settle, "claim-settle", c.Patience.Settle,
		"minimum time for which a replacement must be ready before its claim is released; must be longer than "+
			"broker.session.timeout.ms")
}

// namespaceList is a pflag.Value.
type namespaceList []string

func (n *namespaceList) String() string { return strings.Join(*n, ",") }
func (n *namespaceList) Type() string   { return "strings" }
func (n *namespaceList) Set(value string) error {
	*n = parseNamespaces(value)
	return nil
}

// Validate sets defaults that depend on other values. It returns an error that names each invalid variable and flag.
func (c *Config) Validate() error {
	found := slices.Clone(c.invalid)
	reject := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if c.watch.enabled && c.watch.pod == "" {
		reject("STRIMZI_CERTIFICATE_WATCH_POD_NAME is empty: it is required with STRIMZI_CERTIFICATE_WATCH_ENABLED=true")
	}
	if _, _, err := net.SplitHostPort(c.WebhookAddress); err != nil {
		reject("--webhook-address=%q: must be host:port or :port", c.WebhookAddress)
	}
	sources := []string{CertificateAuto, CertificateOwn, CertificateFiles, CertificateSecret}
	if !slices.Contains([]string{PoliciesAuto, PoliciesRequired}, c.Policies) {
		reject("--policies=%q: must be auto or required", c.Policies)
	}
	if !slices.Contains(sources, c.CertificateSource) {
		reject("--certificate-source=%q: must be own, files, secret or auto", c.CertificateSource)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"review-deadline", c.ReviewDeadline}, {"snapshot-age", c.SnapshotAge},
		{"claim-lapse", c.Patience.Lapse}, {"claim-settle", c.Patience.Settle},
	} {
		if d.value <= 0 {
			reject("--%s=%s: must be greater than 0", d.flag, d.value)
		}
	}
	if c.ShutdownDelay < 0 {
		reject("--shutdown-delay=%s: must not be negative", c.ShutdownDelay)
	}
	if c.CertificateMargin < 0 {
		reject("--certificate-margin=%s: must not be negative", c.CertificateMargin)
	}
	if c.MaxKafkaResponse < 64<<10 || c.MaxKafkaResponse > 1<<30 {
		reject("--kafka-max-response-bytes=%d: must be from 65536 to 1073741824", c.MaxKafkaResponse)
	}
	if c.ServiceName == "" || c.Namespace == "" {
		reject("--service-name=%q, --service-namespace=%q: both are required", c.ServiceName, c.Namespace)
	}
	c.SecretNamespace = cmp.Or(c.SecretNamespace, c.Namespace)
	c.SecretName = cmp.Or(c.SecretName, c.ServiceName+"-tls")
	if c.CertificateSource == CertificateAuto {
		c.CertificateSource = CertificateOwn
		if _, err := os.Stat(filepath.Join(c.CertificateDir, "tls.crt")); err == nil {
			c.CertificateSource = CertificateFiles
		}
	}
	return errors.Join(found...)
}

// CertificateNames returns the DNS names of the own certificate.
func (c *Config) CertificateNames() []string {
	short := c.ServiceName + "." + c.Namespace
	return []string{short + ".svc", short + ".svc.cluster.local", short, c.ServiceName}
}
