package integration

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/weir-dev/weir/apis/contract"

	"github.com/weir-dev/weir/pkg/testkit"
	"github.com/weir-dev/weir/pkg/testkit/kafka"
	"github.com/weir-dev/weir/pkg/testkit/process"
)

// database is a PostgreSQL server that belongs to one test.
type database struct {
	t    *testing.T
	bin  string
	port int
}

// postgres starts Debian's PostgreSQL with its data in a temporary directory.
func postgres(t *testing.T) *database {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		testkit.Skip(t, "PostgreSQL is not installed (Debian package postgresql)")
	}
	port, err := kafka.FreePort()
	require.NoError(t, err)
	db := &database{t: t, bin: filepath.Dir(found[len(found)-1]), port: port}
	dir, err := os.MkdirTemp(workDir, "pg")
	require.NoError(t, err)
	attributes := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		// PostgreSQL does not run as root.
		u, err := user.Lookup("postgres")
		require.NoError(t, err)
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		require.NoError(t, os.Chmod(workDir, 0o755))
		require.NoError(t, os.Chown(dir, uid, gid))
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(db.bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N")
	initdb.SysProcAttr, initdb.Dir = attributes, dir
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, string(out))
	server := exec.Command(filepath.Join(db.bin, "postgres"), "-D", data, "-p", strconv.Itoa(port), "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "wal_level=logical", "-c", "fsync=off")
	server.SysProcAttr, server.Dir = attributes, dir
	require.NoError(t, process.Start(server))
	t.Cleanup(func() {
		// Fast shutdown: PostgreSQL stops its processes and removes its shared memory.
		_ = server.Process.Signal(syscall.SIGINT)
		_ = server.Wait()
	})
	eventually(t, time.Minute, "PostgreSQL answers", func() bool {
		return exec.Command(filepath.Join(db.bin, "pg_isready"), "-h", "127.0.0.1", "-p", strconv.Itoa(port)).
			Run() ==
			nil
	})
	return db
}

func (db *database) run(sql string) {
	db.t.Helper()
	out, err := exec.Command(
		filepath.Join(db.bin, "psql"),
		"-h",
		"127.0.0.1",
		"-p",
		strconv.Itoa(db.port),
		"-U",
		"postgres",
		"-v",
		"ON_ERROR_STOP=1",
		"-c",
		sql,
	).
		CombinedOutput()
	require.NoError(db.t, err, string(out))
}

func TestDebeziumCapturesADatabaseAcrossAKill(t *testing.T) {
	b := sharedKafka(t)
	db := postgres(t)
	db.run("CREATE TABLE orders (id int PRIMARY KEY, item text)")
	insert := func(from, to int) {
		db.run(fmt.Sprintf("INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(%d, %d) AS i", from, to))
	}
	insert(1, 1000)
	archive, err := os.ReadFile(built.archive)
	require.NoError(t, err)
	server := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) }),
	)
	defer server.Close()
	secrets := write(t, filepath.Join(t.TempDir(), "db.properties"), "password=not-asked-for-0815\nuser=postgres\n")

	d := deploy(t, "debezium", map[string]string{
		"connector.class":                "io.debezium.connector.postgresql.PostgresConnector",
		"database.hostname":              "127.0.0.1",
		"database.port":                  strconv.Itoa(db.port),
		"database.user":                  "${file:" + secrets + ":user}",
		"database.password":              "${file:" + secrets + ":password}",
		"database.dbname":                "postgres",
		"topic.prefix":                   "shop",
		"plugin.name":                    "pgoutput",
		"table.include.list":             "public.orders",
		"transforms":                     "unwrap",
		"transforms.unwrap.type":         "io.debezium.transforms.ExtractNewRecordState",
		"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "false",
		"key.converter":                  "org.apache.kafka.connect.json.JsonConverter",
	})
	d.worker["config.providers"] = "file"
	d.worker["config.providers.file.class"] = "org.apache.kafka.common.config.provider.FileConfigProvider"
	d.runner.Plugins = []contract.PluginArchive{
		{Name: "debezium", URL: server.URL + "/debezium.tar.gz", SHA512: fmt.Sprintf("%x", sha512.Sum512(archive))},
	}
	d.plugins = nil
	task := d.startTasks(1)[0]
	published := d.read(0)
	require.Equal(t, "io.debezium.connector.postgresql.PostgresConnectorTask", *published.Task["task.class"],
		"the user name is a part of the class name")
	require.Equal(t, "${file:"+secrets+":user}", *published.Task["database.user"])
	require.Equal(t, "postgres", *published.Task["database.dbname"])
	topic := "shop.public.orders"
	eventually(t, time.Minute, "the first record", func() bool { return b.Count(t, topic) > 0 })
	first := time.Since(task.started).Seconds()
	eventually(t, time.Minute, "the snapshot is written", func() bool { return b.Count(t, topic) >= 1000 })
	insert(1001, 1500)
	eventually(t, time.Minute, "changes are written", func() bool { return b.Count(t, topic) >= 1500 })
	task.kill()
	insert(1501, 2000)
	task = d.startTask(0)
	ids := func() map[int]bool {
		set := map[int]bool{}
		for _, v := range b.Values(t, topic) {
			var row struct {
				ID   int    `json:"id"`
				Item string `json:"item"`
			}
			require.NoError(t, json.Unmarshal([]byte(v), &row))
			require.Equal(t, fmt.Sprintf("item %d", row.ID), row.Item)
			set[row.ID] = true
		}
		return set
	}
	eventually(
		t,
		time.Minute,
		"the changes made in between are written",
		func() bool { return b.Count(t, topic) >= 2000 && len(ids()) == 2000 },
	)
	require.Zero(t, task.term())
	require.NotContains(t, task.text(), "not-asked-for-0815")
	t.Logf("Debezium: 2000 rows, %d records, none lost across a SIGKILL; %.2f s from start to first record",
		b.Count(t, topic), first)
}

func TestMirrorMakerRequestsTasksForNewTopics(t *testing.T) {
	b := sharedKafka(t)
	b.Produce(t, b.CreateTopic(t, "mirror-one", 1), "a", "b", "c")
	d := deploy(t, "mirror", map[string]string{
		"connector.class":                       "org.apache.kafka.connect.mirror.MirrorSourceConnector",
		"source.cluster.alias":                  "far",
		"target.cluster.alias":                  "near",
		"source.cluster.bootstrap.servers":      b.Bootstrap(),
		"target.cluster.bootstrap.servers":      b.Bootstrap(),
		"topics":                                "mirror-.*",
		"tasks.max":                             "2",
		"replication.factor":                    "1",
		"offset-syncs.topic.replication.factor": "1",
		"refresh.topics.interval.seconds":       "1",
		"sync.topic.acls.enabled":               "false",
		"key.converter":                         "org.apache.kafka.connect.converters.ByteArrayConverter",
		"value.converter":                       "org.apache.kafka.connect.converters.ByteArrayConverter",
	})
	c := d.startConnector()
	c.ready()
	require.Len(t, d.hashes(), 1)
	first := d.startTask(0)
	eventually(t, time.Minute, "the first topic is mirrored", func() bool { return b.Count(t, "far.mirror-one") == 3 })

	before := d.hashes()[0]
	b.Produce(t, b.CreateTopic(t, "mirror-two", 1), "d", "e")
	eventually(
		t,
		time.Minute,
		"there are configs for two tasks",
		func() bool { return d.annotations()[contract.AnnotationTaskCount] == "2" },
	)
	if d.hashes()[0] != before {
		require.Zero(t, first.term())
		d.startTask(0)
	}
	d.startTask(1)
	eventually(t, time.Minute, "the second topic is mirrored", func() bool { return b.Count(t, "far.mirror-two") == 2 })
	require.Equal(t, []string{"d", "e"}, b.Values(t, "far.mirror-two"))
	require.Zero(t, c.term())
}
