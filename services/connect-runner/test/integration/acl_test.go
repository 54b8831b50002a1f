package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
)

// acl is one right on one resource of a Kafka cluster.
type acl struct{ operation, resource, name string }

func (a acl) String() string { return a.operation + " " + a.resource + " " + a.name }

// aclRow is a line of the table "Kafka ACLs" in the README: | used by | resource | name | operations |.
var aclRow = regexp.MustCompile(
	"(?m)^\\| ([a-z -]+) \\| (topic|group|transactional id) \\| `([^`]+)` \\| ([A-Za-z, ]+) \\|$")

// documentedACLs returns the rights that the README lists for a mode, with its placeholders replaced.
func documentedACLs(t *testing.T, mode string, values ...string) []acl {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var acls []acl
	for _, row := range aclRow.FindAllStringSubmatch(string(readme), -1) {
		if row[1] != mode {
			continue
		}
		for operation := range strings.SplitSeq(row[4], ", ") {
			acls = append(acls, acl{operation, row[2], strings.NewReplacer(values...).Replace(row[3])})
		}
	}
	require.NotEmpty(t, acls, "the README lists no ACLs for %s", mode)
	return acls
}

// grant creates the ACLs for a user.
func grant(t *testing.T, b *kafka.Cluster, user string, acls []acl) {
	t.Helper()
	for _, a := range acls {
		builder := kadm.NewACLs().Allow("User:" + user).AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral)
		switch a.resource {
		case "topic":
			builder = builder.Topics(a.name)
		case "group":
			builder = builder.Groups(a.name)
		case "transactional id":
			builder = builder.TransactionalIDs(a.name)
		}
		operation, err := kmsg.ParseACLOperation(a.operation)
		require.NoError(t, err, a)
		results, err := b.Admin.CreateACLs(t.Context(), builder.Operations(operation))
		require.NoError(t, err)
		for _, result := range results {
			require.NoError(t, result.Err, a)
		}
	}
}

var decision = regexp.MustCompile(
	`Principal = User:(\S+) is (Allowed|Denied) operation = (\S+) from host = \S+ ` +
		`on resource = (\w+):LITERAL:(.+?) for request`)

// resourceNames and operationNames are the README's names for those in the authorizer's log.
var (
	resourceNames  = map[string]string{"Topic": "topic", "Group": "group", "TransactionalId": "transactional id"}
	operationNames = map[string]string{"READ": "Read", "WRITE": "Write", "CREATE": "Create", "DELETE": "Delete",
		"DESCRIBE": "Describe", "DESCRIBE_CONFIGS": "DescribeConfigs"}
)

// decisions returns the rights of a user that the broker's authorizer has allowed and denied.
func decisions(t *testing.T, b *kafka.Cluster, user string) (allowed, denied []acl) {
	t.Helper()
	lines, err := b.Nodes[0].LogLines("Principal = User:" + user + " ")
	require.NoError(t, err)
	for _, line := range lines {
		m := decision.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		a := acl{operationNames[m[3]], resourceNames[m[4]], m[5]}
		list := &allowed
		if m[2] == "Denied" {
			list = &denied
		}
		if !slices.Contains(*list, a) {
			*list = append(*list, a)
		}
	}
	return allowed, denied
}

// withoutImplied removes the right Describe, which Read, Write and Delete on the same resource include.
func withoutImplied(acls []acl) []acl {
	return slices.DeleteFunc(slices.Clone(acls), func(a acl) bool {
		return a.operation == "Describe" && slices.ContainsFunc(acls, func(other acl) bool {
			return other.resource == a.resource && other.name == a.name &&
				slices.Contains([]string{"Read", "Write", "Delete"}, other.operation)
		})
	})
}

// TestDocumentedACLsAreSufficientAndUsed runs each mode with exactly the ACLs of the README's table. All work must
// succeed without a denied request, and the broker must have checked every ACL.
func TestDocumentedACLsAreSufficientAndUsed(t *testing.T) {
	t.Parallel()
	requireBuild(t)
	users := map[string]string{}
	for _, user := range []string{"source", "exactly-once-source", "sink"} {
		users[user] = user + "-password"
	}
	b := kafka.Start(t, kafka.Options{Users: users, JVMOptions: []string{"-Xmx512m"}})
	secure := func(t *testing.T, name, user string, connector map[string]string) *deployment {
		d := deployOn(t, b, name, connector)
		login := fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required username="%s" password="%s";`,
			user, users[user])
		for _, prefix := range []string{"", "producer.", "consumer.", "admin."} {
			d.worker[prefix+"sasl.mechanism"], d.worker[prefix+"sasl.jaas.config"] = "PLAIN", login
			d.worker[prefix+"security.protocol"] = "SASL_PLAINTEXT"
		}
		d.worker["bootstrap.servers"] = fmt.Sprintf("127.0.0.1:%d", b.UserPorts[0])
		return d
	}
	check := func(t *testing.T, user string, granted []acl) {
		t.Helper()
		allowed, denied := decisions(t, b, user)
		require.Empty(t, denied, "denied although the work succeeded")
		require.ElementsMatch(t, granted, withoutImplied(allowed), "the table lists exactly what the broker checks")
	}

	t.Run("source", func(t *testing.T) {
		t.Parallel()
		topic := b.CreateTopic(t, "acl-source", 1)
		granted := documentedACLs(t, "source", "<topic>", topic, "<offsets topic>", "offsets-acl-source")
		grant(t, b, "source", granted)
		d := secure(t, "acl-source", "source", map[string]string{"connector.class": sequence, "topic": topic, "count": "50"})
		task := d.startTasks(1)[0]
		eventually(t, time.Minute, "all is written", func() bool { return b.Count(t, topic) == 50 })
		require.Zero(t, task.term())
		var offsets contract.OffsetsResult
		code, _ := d.request(&offsets, "offsets", "list")
		require.Zero(t, code)
		require.Len(t, offsets.Offsets, 1)
		code, _ = d.request(&offsets, "offsets", "reset")
		require.Zero(t, code)
		check(t, "source", granted)
	})

	t.Run("exactly-once source", func(t *testing.T) {
		t.Parallel()
		topic := b.CreateTopic(t, "acl-once", 1)
		granted := documentedACLs(t, "exactly-once source", "<topic>", topic, "<offsets topic>", "offsets-acl-once",
			"<group.id>-<connector>-<task>", "connect-cluster-acl-once-0")
		grant(t, b, "exactly-once-source", granted)
		d := secure(t, "acl-once", "exactly-once-source", map[string]string{
			"connector.class": sequence, "topic": topic, "count": "50", "exactly.once.support": "required"})
		d.worker["exactly.once.source.support"] = "enabled"
		task := d.startTasks(1)[0]
		eventually(t, time.Minute, "all is written", func() bool { return len(b.Values(t, topic)) == 50 })
		require.Zero(t, task.term())
		var result contract.OffsetsResult
		code, _ := d.request(&result, "offsets", "fence", "--fence-tasks", "1")
		require.Zero(t, code)
		code, _ = d.request(&result, "offsets", "reset", "--fence-tasks", "1")
		require.Zero(t, code)
		check(t, "exactly-once-source", granted)
	})

	t.Run("sink", func(t *testing.T) {
		t.Parallel()
		topic := b.CreateTopic(t, "acl-sink", 1)
		group := "connect-" + namespace + "-acl-sink"
		var granted []acl
		for _, mode := range []string{"sink", "offsets reset of a sink", "dead letter queue"} {
			granted = append(granted, documentedACLs(t, mode, "<topic>", topic, "<group>", group,
				"<dead letter queue topic>", "acl-dead-letters")...)
		}
		grant(t, b, "sink", granted)
		dir := t.TempDir()
		d := secure(t, "acl-sink", "sink", map[string]string{
			"connector.class": "dev.weir.connect.testplugin.RecordingSink", "topics": topic, "dir": dir, "tasks.max": "1",
			"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
			"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "acl-dead-letters",
			"errors.deadletterqueue.topic.replication.factor": "1"})
		task := d.startTasks(1)[0]
		b.Produce(t, topic, "1", "invalid", "2")
		eventually(t, time.Minute, "all is read", func() bool { return len(lines(t, filepath.Join(dir, "0"))) == 2 })
		eventually(t, time.Minute, "the invalid record is in the dead letter queue", func() bool {
			return b.Count(t, "acl-dead-letters") == 1
		})
		require.Zero(t, task.term())
		var result contract.OffsetsResult
		code, _ := d.request(&result, "members", "remove", "--remaining-tasks", "0", "--previous-tasks", "1")
		require.Zero(t, code)
		code, _ = d.request(&result, "offsets", "list")
		require.Zero(t, code)
		require.Len(t, result.Offsets, 1)
		code, _ = d.request(&result, "offsets", "reset")
		require.Zero(t, code)
		check(t, "sink", granted)
	})
}
