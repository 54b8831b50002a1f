package contract

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// TaskConfig is all that a task needs to start: the connector's configuration and its own, both of the same
// generation. Placeholders of config providers are not resolved. The connector's tasks.max is omitted, so that a
// change of the number of tasks does not change the configs of the remaining tasks.
type TaskConfig struct {
	Connector map[string]string `json:"connector"`
	// Task is the config that the connector returned. connect-runner omits null values; readers must treat null as
	// missing.
	Task map[string]*string `json:"task"`
}

// TaskConfigKey returns the key of a task's config in the Secret `<connector>-tasks`.
func TaskConfigKey(id int) string { return fmt.Sprintf("task-%d.json", id) }

// ParseTaskConfigKey is the inverse of TaskConfigKey. ok is false for any other key.
func ParseTaskConfigKey(key string) (id int, ok bool) {
	digits, found := strings.CutPrefix(key, "task-")
	digits, suffix := strings.CutSuffix(digits, ".json")
	id, err := strconv.Atoi(digits)
	return id, found && suffix && err == nil && TaskConfigKey(id) == key
}

// TaskConfigHash identifies the content of a file: the first 8 bytes of its SHA-256 in hexadecimal.
func TaskConfigHash(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:8])
}

// TaskConfigsHash identifies a set of task configs by the hashes of its members, ordered by id.
func TaskConfigsHash(hashes []string) string {
	return TaskConfigHash([]byte(strings.Join(hashes, ",")))
}

// Formats of the Secret `<connector>-tasks`.
//
// In the plain format, key task-<id>.json is the TaskConfig as JSON.
//
// In the compact format, TaskCommonKey holds the entries that all tasks share, and task-<id>.json holds the rest and
// the hash of the shared part. Both are gzip or JSON; readers detect it. A task's hash is that of its TaskConfig in
// the plain format, so a change of the format does not change the hash.
const (
	// TaskCommonKey is the key of the shared part in the compact format.
	TaskCommonKey = "common.json.gz"

	// TaskFormatCompact is the value of EnvTaskFormat that permits the compact format.
	TaskFormatCompact = "compact"

	// maxDecoded is the maximum size of an uncompressed file. It protects readers from decompression bombs.
	maxDecoded = 32 << 20
	// gzipThreshold is the size in bytes above which task files are compressed.
	gzipThreshold = 1 << 10
)

// commonPart is the content of TaskCommonKey.
type commonPart struct {
	Connector map[string]string `json:"connector"`
	// SameAsConnector lists the keys that every task has with the connector's value.
	SameAsConnector []string `json:"sameAsConnector,omitempty"`
	// Task are the other entries that every task has with one value.
	Task map[string]*string `json:"task,omitempty"`
}

// compactFile is the content of a task's key in the compact format.
type compactFile struct {
	// Common is the TaskConfigHash of the uncompressed commonPart.
	Common string `json:"common"`
	// Task are the entries that differ between tasks.
	Task map[string]*string `json:"task"`
}

// EncodedTaskConfigs are the values of the Secret `<connector>-tasks`.
type EncodedTaskConfigs struct {
	// Files by task id.
	Files [][]byte
	// Common is the value of TaskCommonKey; nil in the plain format.
	Common []byte
	// Hashes by task id. They do not depend on the format.
	Hashes []string
}

// Size returns the number of bytes of all values.
func (e EncodedTaskConfigs) Size() int {
	size := len(e.Common)
	for _, file := range e.Files {
		size += len(file)
	}
	return size
}

// Data returns the data of the Secret.
func (e EncodedTaskConfigs) Data() map[string][]byte {
	data := make(map[string][]byte, len(e.Files)+1)
	for id, file := range e.Files {
		data[TaskConfigKey(id)] = file
	}
	if e.Common != nil {
		data[TaskCommonKey] = e.Common
	}
	return data
}

// EncodeTaskConfigs encodes task configs in the plain format. Keys are sorted, so that equal configs have equal files.
func EncodeTaskConfigs(configs []TaskConfig) (EncodedTaskConfigs, error) {
	var encoded EncodedTaskConfigs
	for id, config := range configs {
		file, err := json.Marshal(config)
		if err != nil {
			return encoded, fmt.Errorf("encode the config of task %d: %w", id, err)
		}
		encoded.Files = append(encoded.Files, file)
		encoded.Hashes = append(encoded.Hashes, TaskConfigHash(file))
	}
	return encoded, nil
}

// EncodeCompactTaskConfigs encodes task configs in the compact format. All configs must have the same Connector.
func EncodeCompactTaskConfigs(configs []TaskConfig) (EncodedTaskConfigs, error) {
	plain, err := EncodeTaskConfigs(configs)
	if err != nil || len(configs) == 0 {
		return plain, err
	}
	encoded := EncodedTaskConfigs{Hashes: plain.Hashes}
	common := commonOf(configs)
	text, err := json.Marshal(common)
	if err != nil {
		return encoded, fmt.Errorf("encode the common part of the task configs: %w", err)
	}
	if encoded.Common, err = compress(text); err != nil {
		return encoded, err
	}
	hash := TaskConfigHash(text)
	for id, config := range configs {
		if !maps.Equal(config.Connector, common.Connector) {
			return encoded, fmt.Errorf(
				"encode the config of task %d: its connector configuration differs from that of task 0",
				id,
			)
		}
		own := maps.Clone(config.Task)
		for _, key := range common.SameAsConnector {
			delete(own, key)
		}
		for key := range common.Task {
			delete(own, key)
		}
		file, err := json.Marshal(compactFile{Common: hash, Task: own})
		if err != nil {
			return encoded, fmt.Errorf("encode the config of task %d: %w", id, err)
		}
		if len(file) > gzipThreshold {
			if file, err = compress(file); err != nil {
				return encoded, err
			}
		}
		encoded.Files = append(encoded.Files, file)
	}
	return encoded, nil
}

func commonOf(configs []TaskConfig) commonPart {
	common := commonPart{Connector: configs[0].Connector, Task: map[string]*string{}}
	for key, value := range configs[0].Task {
		if slices.ContainsFunc(configs, func(c TaskConfig) bool { return !hasValue(c.Task, key, value) }) {
			continue
		}
		if connector, ok := common.Connector[key]; ok && value != nil && *value == connector {
			common.SameAsConnector = append(common.SameAsConnector, key)
		} else {
			common.Task[key] = value
		}
	}
	slices.Sort(common.SameAsConnector)
	return common
}

func hasValue(task map[string]*string, key string, value *string) bool {
	got, ok := task[key]
	return ok && (got == nil) == (value == nil) && (got == nil || *got == *value)
}

// TaskConfigReader reads the values of one Secret `<connector>-tasks` in either format. Its errors contain no values.
type TaskConfigReader struct {
	common    commonPart
	hash      string
	commonErr error
}

// NewTaskConfigReader returns a reader. common is the value of TaskCommonKey; nil if there is none.
func NewTaskConfigReader(common []byte) *TaskConfigReader {
	r := &TaskConfigReader{}
	if common == nil {
		r.commonErr = fmt.Errorf("needs key %s, which is missing", TaskCommonKey)
		return r
	}
	text, err := decompress(common)
	if err == nil {
		err = unmarshal(text, &r.common)
	}
	if err == nil && r.common.Connector == nil {
		err = errors.New("has no connector configuration")
	}
	if err != nil {
		r.commonErr = fmt.Errorf("needs key %s, which is invalid: %w", TaskCommonKey, err)
		return r
	}
	r.hash = TaskConfigHash(text)
	return r
}

// errNotATaskConfig describes every syntax error, because the decoder's messages quote values.
var errNotATaskConfig = errors.New("is not a JSON object with the string maps connector and task")

// Read decodes the value of a task's key and returns the hash of the config.
func (r *TaskConfigReader) Read(file []byte) (TaskConfig, string, error) {
	text, err := decompress(file)
	if err != nil {
		return TaskConfig{}, "", err
	}
	var form struct {
		Common *string `json:"common"`
	}
	if json.Unmarshal(text, &form) != nil {
		return TaskConfig{}, "", errNotATaskConfig
	}
	if form.Common != nil {
		return r.readCompact(text)
	}
	var config TaskConfig
	if unmarshal(text, &config) != nil || config.Connector == nil || config.Task == nil {
		return TaskConfig{}, "", errNotATaskConfig
	}
	return config, TaskConfigHash(text), nil
}

func (r *TaskConfigReader) readCompact(text []byte) (TaskConfig, string, error) {
	var own compactFile
	if unmarshal(text, &own) != nil {
		return TaskConfig{}, "", errNotATaskConfig
	}
	if r.commonErr != nil {
		return TaskConfig{}, "", r.commonErr
	}
	if own.Common != r.hash {
		return TaskConfig{}, "", fmt.Errorf("belongs to another version of key %s (hash %s, expected %s)",
			TaskCommonKey, r.hash, own.Common)
	}
	config := TaskConfig{Connector: r.common.Connector, Task: map[string]*string{}}
	maps.Copy(config.Task, own.Task)
	maps.Copy(config.Task, r.common.Task)
	for _, key := range r.common.SameAsConnector {
		value, ok := r.common.Connector[key]
		if !ok {
			return TaskConfig{}, "", fmt.Errorf("needs key %s, which is invalid: the connector has no %q", TaskCommonKey, key)
		}
		config.Task[key] = &value
	}
	plain, err := json.Marshal(config)
	if err != nil {
		return TaskConfig{}, "", err
	}
	return config, TaskConfigHash(plain), nil
}

// unmarshal rejects unknown fields and trailing data.
func unmarshal(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return errors.New("it is not valid JSON of the expected form")
	}
	if decoder.More() {
		return errors.New("it has data after the JSON object")
	}
	return nil
}

func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compress task configs: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("compress task configs: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress task configs: %w", err)
	}
	return out.Bytes(), nil
}

// decompress returns the text of a gzip file and any other content unchanged.
func decompress(file []byte) ([]byte, error) {
	if !bytes.HasPrefix(file, []byte("\x1f\x8b")) {
		return file, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, errors.New("is not a valid gzip file")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxDecoded+1))
	if err != nil {
		return nil, errors.New("is not a valid gzip file")
	}
	if len(text) > maxDecoded {
		return nil, fmt.Errorf("is larger than %d MiB after decompression", maxDecoded>>20)
	}
	return text, nil
}
