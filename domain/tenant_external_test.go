package domain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestTenantNames(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for text, want := range map[string]domain.TenantName{
		id.String():                       {ID: id},
		"ext:" + id.String():              {ExternalID: id.String()},
		"ext:acme":                        {ExternalID: "acme"},
		"ext:ext:acme":                    {ExternalID: "ext:acme"},
		"ext:Bäckerei / Süß 🥐":            {ExternalID: "Bäckerei / Süß 🥐"},
		"ext:" + strings.Repeat("ä", 255): {ExternalID: strings.Repeat("ä", 255)},
	} {
		name, err := domain.ParseTenantName(text)
		require.NoError(t, err, text)
		require.Equal(t, want, name)
	}
	for _, text := range []string{
		"", "acme", "EXT:acme", "ext:", "ext: a", "ext:a ", "ext:a\x00", "ext:a\nb", "ext:a\xff", "ext:.", "ext:..", "ext:a\u200db",
		"ext:" + strings.Repeat("ä", 256), "urn:uuid:" + id.String(),
	} {
		_, err := domain.ParseTenantName(text)
		require.ErrorIs(t, err, domain.ErrMalformed, text)
		require.Equal(t, "invalid_id", domain.CodeOf(err))
	}
}

func metadata(values map[string]*string) domain.MetadataChange { return domain.SetTo(values) }

func TestMetadataIsChanged(t *testing.T) {
	t.Parallel()
	one, err := domain.NewTenant{
		Name: "a", ExternalID: domain.SetTo("acme"), Metadata: metadata(map[string]*string{"plan": new("pro"), "note": new("two\nlines"), "none": nil}),
	}.Build(uuid.New(), 3, time.Now())
	require.NoError(t, err)
	require.Equal(t, "acme", one.ExternalID)
	require.Equal(t, map[string]string{"plan": "pro", "note": "two\nlines"}, one.Metadata)

	before := one
	require.NoError(t, domain.TenantChange{Metadata: metadata(map[string]*string{"plan": new("free"), "note": nil, "region": new("")})}.Apply(&one))
	require.Equal(t, map[string]string{"plan": "free", "region": ""}, one.Metadata)
	require.Equal(t, "pro", before.Metadata["plan"], "what others hold is left alone")
	require.False(t, domain.SameTenant(&one, &before))
	require.Equal(t, domain.AuditTenantChange, domain.AuditOf(&before, &one))

	same := one
	require.NoError(t, domain.TenantChange{Metadata: metadata(map[string]*string{"plan": new("free")}), ExternalID: domain.SetTo("acme")}.Apply(&same))
	require.True(t, domain.SameTenant(&one, &same))
	require.NoError(t, domain.TenantChange{Metadata: metadata(map[string]*string{"a": new("1")}), AllMetadata: true}.Apply(&one))
	require.Equal(t, map[string]string{"a": "1"}, one.Metadata)
	require.NoError(t, domain.TenantChange{Metadata: domain.MetadataChange{Said: true}, ExternalID: domain.Setting[string]{Said: true}}.Apply(&one))
	require.Empty(t, one.Metadata)
	require.Empty(t, one.ExternalID)

	many := make(map[string]*string)
	for i := range domain.MaxMetadataKeys {
		many[fmt.Sprint(i)] = new("x")
	}
	require.NoError(t, domain.TenantChange{Metadata: metadata(many)}.Apply(&one))
	err = domain.TenantChange{Metadata: metadata(map[string]*string{"one more": new("x")})}.Apply(&one)
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.Len(t, one.Metadata, domain.MaxMetadataKeys)

	for key, value := range map[string]string{
		"": "x", strings.Repeat("k", 41): "x", "a\nb": "x", "long": strings.Repeat("v", 501), "control": "\x00", "broken": "\xff",
	} {
		require.ErrorIs(t, domain.TenantChange{Metadata: metadata(map[string]*string{key: &value})}.Apply(&one), domain.ErrInvalid, "%q", key)
		require.ErrorIs(t, domain.CheckMetadataFilter(map[string]string{key: value}), domain.ErrMalformed, "%q", key)
	}
	require.ErrorIs(t, domain.TenantChange{ExternalID: domain.SetTo("")}.Apply(&one), domain.ErrInvalid)
	_, err = domain.NewTenant{Name: "a", ExternalID: domain.SetTo(" "), Metadata: metadata(map[string]*string{"": new("x")})}.Build(uuid.New(), 3, time.Now())
	require.ErrorIs(t, err, domain.ErrInvalid)

	one.ExternalID = "acme"
	require.NoError(t, one.Transition(domain.TenantDeleting))
	require.NoError(t, one.Transition(domain.TenantDeleted))
	require.Empty(t, one.ExternalID)
	require.Empty(t, one.Metadata)
}
