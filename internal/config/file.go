package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins the name of each environment variable.
const EnvPrefix = "GBTPOOL"

// Load reads a YAML configuration for kong. It is a kong.ConfigurationLoader.
func Load(r io.Reader) (kong.Resolver, error) {
	values := make(map[string]any)
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return fileResolver(values), nil
}

// fileResolver gives kong the values of a file, by key.
type fileResolver map[string]any

// Validate implements kong.Resolver: a key that is no setting is an error.
func (f fileResolver) Validate(app *kong.Application) error {
	known := []string{}
	for _, command := range app.Leaves(true) {
		for _, flag := range command.Flags {
			if flag.Group != nil && flag.Group.Key == Group {
				known = append(known, key(flag))
			}
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	var faults []error
	for name := range f {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Errorf("unknown key %q; the keys are %s", name, strings.Join(known, ", ")))
		}
	}
	return errors.Join(faults...)
}

// Resolve implements kong.Resolver. A variable that is set goes before the file.
func (f fileResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // kong's way to say that a resolver has no value
		}
	}
	return f[key(flag)], nil
}

// Group is the kong group whose flags are settings that the file may have.
const Group = "config"

// key returns a flag's name in the file.
func key(flag *kong.Flag) string { return strings.ReplaceAll(flag.Name, "-", "_") }
