package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/weir-dev/weir/apis/contract"
)

// ErrConnectorStale means that the connector's file does not match the generation of the pod.
var ErrConnectorStale = errors.New("the mounted connector configuration is outdated")

const (
	// staleTimeout is longer than the kubelet takes to update a mounted Secret.
	staleTimeout = 2 * time.Minute
	// staleInterval is the time between two reads of an outdated file.
	staleInterval = time.Second
)

// hashGeneration matches a generation that is the TaskConfigHash of the connector's file.
var hashGeneration = regexp.MustCompile(`^[0-9a-f]{16}$`)

// ReadConnector reads the connector's configuration. If the generation is a hash, the file must have this hash: the
// kubelet may mount an older version of the Secret when the pod starts. ReadConnector reads an outdated file again for
// up to two minutes.
func (c *Config) ReadConnector(ctx context.Context) (map[string]*string, error) {
	return c.readConnector(ctx, staleTimeout, staleInterval)
}

func (c *Config) readConnector(ctx context.Context, timeout, interval time.Duration) (map[string]*string, error) {
	deadline := time.Now().Add(timeout)
	for {
		file, err := os.ReadFile(c.ConnectorConfig)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.ConnectorConfig, err)
		}
		hash := contract.TaskConfigHash(file)
		if c.Mode != ModeConnector || !hashGeneration.MatchString(c.Generation) || hash == c.Generation {
			return c.parseConnector(file)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: %s has hash %s; this pod was created for hash %s",
				ErrConnectorStale, c.ConnectorConfig, hash, c.Generation)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(interval):
		}
	}
}

// parseConnector parses a flat JSON object. Its errors contain no values.
func (c *Config) parseConnector(file []byte) (map[string]*string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(file, &fields); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object (%s)", c.ConnectorConfig, position(file, err))
	}
	connector := make(map[string]*string, len(fields))
	for key, raw := range fields {
		value, err := scalar(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: key %q %w", c.ConnectorConfig, key, err)
		}
		connector[key] = value
	}
	if name := connector["name"]; name != nil && *name != c.Name {
		return nil, fmt.Errorf("%s: name is %q, but --name is %q; use one name", c.ConnectorConfig, *name, c.Name)
	}
	connector["name"] = &c.Name
	if class := connector["connector.class"]; class == nil || *class == "" {
		return nil, fmt.Errorf("%s: connector.class is missing; set it to the class of the connector", c.ConnectorConfig)
	}
	return connector, nil
}

// scalar returns a string, number or boolean as a string, as Connect's REST API does. null stays null.
func scalar(raw json.RawMessage) (*string, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, errors.New("is not valid JSON")
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return &v, nil
	case json.Number, bool:
		return new(fmt.Sprint(v)), nil
	case []any:
		return nil, errors.New("is a list; use one string, for example with commas")
	default:
		return nil, errors.New("is an object; connector configurations are flat, use dotted keys")
	}
}

// position describes the place of a syntax error without quoting the file.
func position(file []byte, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("syntax error in line %d", 1+bytes.Count(file[:min(int(syntax.Offset), len(file))], []byte("\n")))
	}
	return "it is another JSON value"
}
