package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// pathVariable names the configuration file when no flag does.
const pathVariable = "LANEKEEPER_CONFIG"

// defaultPath is read when neither a flag nor pathVariable names a file, and
// only if it exists.
const defaultPath = "config/config.yaml"

// Load reads the configuration: from the file named by path, else by the
// variable LANEKEEPER_CONFIG, else config/config.yaml if it exists; and from
// the environment. The error names every key that is unknown, of the wrong
// type or out of range.
func Load(path string) (Config, error) {
	c, err := Read(path)
	if err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// Read is Load without Validate: values may be out of range or missing.
func Read(path string) (Config, error) {
	v := viper.New()
	v.SetConfigType("yaml")
	if err := readFile(v, path); err != nil {
		return Config{}, err
	}
	c := Default()
	settings := c.settings()
	if err := errors.Join(unknownKeys(v, settings), formerVariables()); err != nil {
		return Config{}, err
	}
	var problems []error
	for _, s := range settings {
		if err := v.BindEnv(s.key, s.environment()); err != nil {
			return Config{}, fmt.Errorf("bind %s: %w", s.environment(), err)
		}
		if err := s.assign(v.Get(s.key), os.Getenv(s.environment()) != ""); err != nil {
			problems = append(problems, s.problem(err))
		}
	}
	if len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	return c, nil
}

func readFile(v *viper.Viper, path string) error {
	if path == "" {
		path = os.Getenv(pathVariable)
	}
	named := path != ""
	if !named {
		path = defaultPath
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("read configuration file %s: %w", path, err)
	}
	return nil
}

// unknownKeys must be called before v knows anything but the file.
func unknownKeys(v *viper.Viper, settings []setting) error {
	var problems []error
	keys := v.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		known := slices.ContainsFunc(settings, func(s setting) bool { return s.key == key })
		section := slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
		switch {
		case known, section && v.Get(key) == nil: // a section with all of it commented out
		case section:
			problems = append(problems, fmt.Errorf("%s must be a section with keys of its own", key))
		case formerSettings()[key] != "":
			problems = append(problems, fmt.Errorf("%s %s", key, formerSettings()[key]))
		default:
			problems = append(problems, fmt.Errorf("%s is not a known key", key))
		}
	}
	return errors.Join(problems...)
}

// formerVariables refuses variables that were settings once: other unknown ones may
// belong to anybody.
func formerVariables() error {
	var problems []error
	for key, what := range formerSettings() {
		former := setting{key: key}
		if os.Getenv(former.environment()) != "" {
			problems = append(problems, former.problem(errors.New(what)))
		}
	}
	return errors.Join(problems...)
}
