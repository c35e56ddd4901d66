package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// setting is one key.
type setting struct {
	key string
	// value points into the Config: *string, *int, *bool, *time.Duration or
	// *[]string.
	value any
	// check returns what is wrong with the current value, without quoting it;
	// nil accepts everything.
	check func() error
	// hidden values are never printed.
	hidden bool
	// location values are printed without the passwords in them.
	location bool
}

// environment returns the name of the variable for the key.
func (s setting) environment() string {
	return strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s setting) problem(err error) error {
	return fmt.Errorf("%s (%s) %w", s.key, s.environment(), err)
}

// assign sets the value from what the file says in YAML's types, or from the
// text of the environment. Nil leaves it as it is.
func (s setting) assign(from any, environment bool) error {
	if from == nil {
		return nil
	}
	if text, ok := from.(string); ok && environment {
		return s.parse(text)
	}
	switch value := s.value.(type) {
	case *string:
		text, ok := from.(string)
		if !ok {
			return errors.New("must be text; put it in quotes")
		}
		*value = text
	case *int:
		n, ok := from.(int)
		if !ok {
			return errors.New("must be a whole number")
		}
		*value = n
	case *bool:
		b, ok := from.(bool)
		if !ok {
			return errors.New("must be true or false")
		}
		*value = b
	case *time.Duration:
		text, ok := from.(string)
		if !ok {
			return errors.New("must be a duration with a unit, such as 90s")
		}
		return s.parse(text)
	case *[]string:
		items, ok := from.([]any)
		list := make([]string, len(items))
		for i, item := range items {
			if list[i], ok = item.(string); !ok {
				break
			}
		}
		if !ok {
			return errors.New("must be a list of texts")
		}
		*value = list
	}
	return nil
}

func (s setting) parse(text string) error {
	switch value := s.value.(type) {
	case *string:
		*value = text
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", text)
		}
		*value = n
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("must be true or false, not %q", text)
		}
		*value = b
	case *time.Duration:
		d, err := parseDuration(text)
		if err != nil {
			return fmt.Errorf("must be a duration with a unit, such as 90s, not %q", text)
		}
		*value = d
	case *[]string:
		*value = []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*value = append(*value, item)
			}
		}
	}
	return nil
}

// current returns the value as it is now.
func (s setting) current() any {
	switch value := s.value.(type) {
	case *string:
		return *value
	case *int:
		return *value
	case *bool:
		return *value
	case *[]string:
		return *value
	case *time.Duration:
		return *value
	}
	return nil
}

// parseDuration takes days, of 24 hours, before what time.ParseDuration takes.
func parseDuration(text string) (time.Duration, error) {
	const most = 36500
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text) //nolint:wrapcheck // its caller says what is expected
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || n > most {
		return 0, errors.New("not a number of days")
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	return d + more, err //nolint:wrapcheck // as above
}
