package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/peterbourgon/ff/v3/ffyaml"
	"gopkg.in/yaml.v2"

	"hubbub/internal/rooms"
)

// rulesFlag is a flag for the rules of channels, in JSON.
type rulesFlag struct{ rooms.Rules }

func (f *rulesFlag) String() string { return f.Rules.String() }

func (f *rulesFlag) Set(v string) (err error) {
	f.Rules, err = rooms.ParseRules(v)
	return err
}

// namespacesFlag is the name of the one setting that isn't a line in the config file but a map.
const namespacesFlag = "namespaces"

// parseConfig reads a config file: a line for each flag, and the namespaces as a map.
func parseConfig(r io.Reader, set func(name, value string) error) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	err = ffyaml.Parser(bytes.NewReader(text), func(name, value string) error {
		if name == namespacesFlag || strings.HasPrefix(name, namespacesFlag+".") {
			return nil
		}
		return set(name, value)
	})
	if err != nil {
		return err
	}
	var nested struct {
		Namespaces map[string]map[string]any `yaml:"namespaces"`
	}
	if err := yaml.Unmarshal(text, &nested); err != nil {
		return fmt.Errorf("namespaces is to be a map of maps: %w", err)
	}
	if nested.Namespaces == nil {
		return nil
	}
	rules, err := json.Marshal(nested.Namespaces)
	if err != nil {
		return fmt.Errorf("a rule of namespaces is to be a word or true or false: %w", err)
	}
	return set(namespacesFlag, string(rules))
}
