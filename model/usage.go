package model

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// UsageDay is what was stored for a tenant on one day.
type UsageDay struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Day is a day in UTC.
	Day string `json:"day" validate:"required" format:"date" example:"2026-11-30"`
	// Messages is how many were stored.
	Messages int64 `json:"messages" validate:"required" example:"1200"`
	// Bytes are those of the payloads as text, with a space after each comma and colon.
	Bytes int64 `json:"bytes" validate:"required" example:"480000"`
} //@name UsageDay

// UsagePage is a page of days.
type UsagePage struct {
	Data []UsageDay `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"2026-11-30_0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
} //@name UsagePage

// FromUsage returns a page of days; sent is the cursor of the request.
func FromUsage(days []domain.UsageDay, more bool, sent string) UsagePage {
	page := UsagePage{Data: make([]UsageDay, len(days))}
	last := ""
	for i := range days {
		d := &days[i]
		page.Data[i] = UsageDay{TenantID: d.TenantID.String(), Day: d.Day.Format(time.DateOnly), Messages: d.Messages, Bytes: d.Bytes}
		last = page.Data[i].Day + "_" + page.Data[i].TenantID
	}
	page.NextCursor, page.LastCursor = cursors(last, more, sent)
	return page
}

// WriteCSV writes the days as comma-separated values (RFC 4180) with a header.
func (p *UsagePage) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	rows := [][]string{{"tenant_id", "day", "messages", "bytes"}}
	for _, d := range p.Data {
		rows = append(rows, []string{d.TenantID, d.Day, strconv.FormatInt(d.Messages, 10), strconv.FormatInt(d.Bytes, 10)})
	}
	return out.WriteAll(rows) //nolint:wrapcheck // of the connection
}

// UsagePlace reads a cursor of UsagePage; false when it is none.
func UsagePlace(cursor string) (day time.Time, tenantID uuid.UUID, ok bool) {
	date, id, _ := strings.Cut(cursor, "_")
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}, uuid.Nil, false
	}
	tenantID, err = domain.ParseID(id)
	return day, tenantID, err == nil
}
