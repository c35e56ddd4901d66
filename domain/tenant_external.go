package domain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of what a product keeps of its own with a tenant.
const (
	MaxExternalIDLength    = 255 // characters
	MaxMetadataKeys        = 50
	MaxMetadataKeyLength   = 40  // characters
	MaxMetadataValueLength = 500 // characters
)

// ExternalIDPrefix begins an external id where a tenant's id may be as well.
const ExternalIDPrefix = "ext:"

// TenantName is how a call names a tenant: by its id, or by its external id. The zero
// value names none.
type TenantName struct {
	ID         uuid.UUID
	ExternalID string
}

// ParseTenantName parses an id, or ExternalIDPrefix and an external id. The error is an
// ErrMalformed.
func ParseTenantName(text string) (TenantName, error) {
	externalID, external := strings.CutPrefix(text, ExternalIDPrefix)
	if !external {
		id, err := ParseID(text)
		return TenantName{ID: id}, err
	}
	if problem := externalIDProblem(externalID); problem != "" {
		return TenantName{}, New(ErrMalformed, "invalid_id", "After "+ExternalIDPrefix+" the external id of a tenant "+problem+".")
	}
	return TenantName{ExternalID: externalID}, nil
}

// CheckExternalID returns an ErrInvalid for the field unless text can be the external
// id of a tenant.
func CheckExternalID(field, text string) error {
	if problem := externalIDProblem(text); problem != "" {
		return WithFields(FieldError{field, problem})
	}
	return nil
}

// externalIDProblem refuses also what does not survive in a path or a header.
func externalIDProblem(text string) string {
	switch {
	case text == "":
		return "must not be empty"
	case utf8.RuneCountInString(text) > MaxExternalIDLength:
		return fmt.Sprintf("must have at most %d characters", MaxExternalIDLength)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "must have printable characters only"
	case text[0] == ' ' || text[len(text)-1] == ' ':
		return "must not begin or end with a space"
	case text == "." || text == "..":
		return "must not be . or .., which have a meaning of their own in paths"
	}
	return ""
}

// ExternalIDTaken is the answer to a caller who gives a tenant an external id that
// another tenant of the same owner has.
func ExternalIDTaken(cause error) error {
	return Wrap(cause, ErrConflict, "external_id_taken", "Another tenant of the same owner has this external id.").Because(ErrNameTaken)
}

// ExternalIDAmbiguous is the answer to a caller who sees tenants of several owners that
// have the external id, and has none with it.
func ExternalIDAmbiguous() error {
	return New(ErrConflict, "external_id_ambiguous", "Tenants of several owners have this external id; use the tenant's id.")
}

// MetadataChange is what a caller says of metadata: what each key is to be, nil to take
// it away. Its default is to have none.
type MetadataChange = Setting[map[string]*string]

// applyMetadata returns the metadata after the change, which is all of it, or is added
// to what there is, and what is wrong with it.
func applyMetadata(is map[string]string, c MetadataChange, all bool) (map[string]string, []FieldError) {
	if !c.Said {
		return is, nil
	}
	given, _ := c.value()
	changed := make(map[string]string)
	if given != nil && !all {
		maps.Copy(changed, is)
	}
	var fields []FieldError
	for _, key := range slices.Sorted(maps.Keys(given)) {
		value := given[key]
		if value == nil {
			delete(changed, key)
			continue
		}
		if problem := metadataProblem(key, *value); problem != "" && len(fields) < MaxMetadataKeys {
			fields = append(fields, FieldError{Pointer("metadata", key), problem})
		}
		changed[key] = *value
	}
	if len(changed) > MaxMetadataKeys {
		fields = append(fields, FieldError{"/metadata", fmt.Sprintf("must have at most %d keys", MaxMetadataKeys)})
	}
	if len(changed) == 0 {
		changed = nil
	}
	return changed, fields
}

func metadataProblem(key, value string) string {
	switch {
	case key == "" || utf8.RuneCountInString(key) > MaxMetadataKeyLength || !storableText(key):
		return fmt.Sprintf("must have a key of 1 to %d characters without control characters", MaxMetadataKeyLength)
	case utf8.RuneCountInString(value) > MaxMetadataValueLength:
		return fmt.Sprintf("must have at most %d characters", MaxMetadataValueLength)
	case !storableText(strings.NewReplacer("\n", "", "\r", "", "\t", "").Replace(value)):
		return "must be valid UTF-8 without control characters"
	}
	return ""
}

// CheckMetadataFilter returns an ErrMalformed unless tenants can have this metadata.
func CheckMetadataFilter(filter map[string]string) error {
	for key, value := range filter {
		if problem := metadataProblem(key, value); problem != "" {
			e := New(ErrMalformed, "invalid_query", "What is asked for can be in no metadata.")
			e.Fields = []FieldError{{Pointer("metadata." + key)[1:], problem}}
			return e
		}
	}
	return nil
}

// SameTenant reports whether callers have said the same of both: it compares what they
// change.
func SameTenant(a, b *Tenant) bool {
	return a.Name == b.Name && a.Description == b.Description && a.Status == b.Status && a.Target == b.Target &&
		a.Workers == b.Workers && a.RetentionDays == b.RetentionDays &&
		a.ExternalID == b.ExternalID && maps.Equal(a.Metadata, b.Metadata)
}
