package controller

import (
	"bytes"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// Whatever is sent as a cursor is a place in a list, or refused as a query.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		"", "0", "-1", "+1", "1e3", "9223372036854775807", "9223372036854775808", "0197a3a2-7d2c-7c3e-8f7e-0242ac120002", "1795000000000000-0197a3a2-7d2c-7c3e-8f7e-0242ac120002",
		"-1-0197a3a2-7d2c-7c3e-8f7e-0242ac120002", "2026-11-30_0197a3a2-7d2c-7c3e-8f7e-0242ac120002", "9999-12-31_", "0000-01-01_00000000-0000-0000-0000-000000000000", "\x00", "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequestWithContext(t.Context(), "GET", "/?cursor="+url.QueryEscape(text), nil)
		refused := func(err error) {
			t.Helper()
			if err != nil {
				require.ErrorIs(t, err, domain.ErrMalformed)
			}
		}
		seq, sent, err := querySeq(c)
		refused(err)
		require.GreaterOrEqual(t, seq, int64(0))
		require.Equal(t, err == nil, sent)
		after, given, err := queryAfter(c)
		refused(err)
		if err == nil && after != uuid.Nil {
			require.Len(t, given, 36)
		}
		// The database has no times after the year 294276, nor JSON after 9999.
		if at, _, ok := model.ParseAttemptCursor(text); ok {
			require.LessOrEqual(t, at.Year(), 9999)
		}
		if day, _, ok := model.UsagePlace(text); ok {
			require.True(t, day.Year() >= 0 && day.Year() <= 9999)
			require.Equal(t, text[:10], day.Format("2006-01-02"))
		}
	})
}

// Whatever comes as lines: each one that is not blank is a message, or is refused by
// itself, and none is made up.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "1\n2", "{}\r\n\r\n[1]\n", "1\n{\n2\n", "\xff\n1", "{\"payload\":1}\n{\"payload\":1,\"type\":\"t\"}\n", "\u2028\n\u0085\n", "\x00", "1\r2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var lines [][]byte
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if line = bytes.Trim(line, " \t\r"); len(line) > 0 {
				lines = append(lines, line)
			}
		}
		for name, entry := range map[string]func([]byte) batchEntry{"payloads": payloadEntry, "messages": messageEntry} {
			n := 0
			for got := range lineEntries(body, entry) {
				require.Less(t, n, len(lines), name)
				switch {
				case got.err != nil:
					require.ErrorIs(t, got.err, domain.ErrInvalid, name)
				case name == "payloads":
					require.Equal(t, string(lines[n]), string(got.submission.Payload))
				default:
					require.Contains(t, string(lines[n]), string(got.submission.Payload))
				}
				n++
			}
			require.Len(t, lines, n, name)
		}
	})
}
