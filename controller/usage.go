package controller

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// usageService knows what was stored.
type usageService interface {
	List(ctx context.Context, p domain.Principal, q domain.UsageQuery) (days []domain.UsageDay, more bool, err error)
}

type usageController struct {
	usage   usageService
	tenants tenantDirectory
	now     func() time.Time
}

// usageDays is how many days are shown unless the caller says which.
const usageDays = 30

// nextCursorHeader has next_cursor where the body is no JSON.
const nextCursorHeader = "Lanekeeper-Next-Cursor"

// list returns a page of what was stored each day.
//
//	@Summary		Show usage
//	@ID			listUsage
//	@Description	How many messages, and bytes of their payloads, were stored for each tenant on each day (UTC), for invoices. Counted from the history, at most a minute later; kept for three years, also when messages, or the tenant, are deleted. A tenant has no row for a day without messages. Callers who are not admin see their own tenants, deleted ones included. As `text/csv` with `format=csv`: the cursor of the next page is in `Lanekeeper-Next-Cursor` then.
//	@Tags			usage
//	@Security		BearerAuth
//	@Produce		json
//	@Produce		text/csv
//	@Param			from					query		string	false	"The first day; 30 days before to unless given"	format(date)
//	@Param			to						query		string	false	"The last day; today unless given"				format(date)
//	@Param			tenant_id				query		string	false	"Only this tenant"								format(uuid)
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param			limit					query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Param			format					query		string	false	"How they are shown"	Enums(json, csv)	default(json)
//	@Success		200						{object}	model.UsagePage
//	@Header			200						{string}	Lanekeeper-Next-Cursor	"With CSV, `next_cursor`; not sent at the end"
//	@Failure		400,401,403,404,409,422,500,503	{object}	model.Problem
//	@Router			/usage [get]
//	@x-scope		"read"
func (u *usageController) list(c *gin.Context) error {
	q, sent, err := u.query(c)
	if err != nil {
		return err
	}
	format, _, err := middleware.Query(c, "format")
	if err != nil {
		return err
	}
	if format != "" && format != "json" && format != "csv" {
		return middleware.InvalidQuery("format", `must be "json" or "csv"`)
	}
	days, more, err := u.usage.List(c.Request.Context(), middleware.Principal(c), q)
	if err != nil {
		return err
	}
	page := model.FromUsage(days, more, sent)
	if format != "csv" {
		return writeJSON(c, http.StatusOK, page)
	}
	var text bytes.Buffer
	if err := page.WriteCSV(&text); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	if page.NextCursor != "" {
		c.Header(nextCursorHeader, page.NextCursor)
	}
	c.Header("Content-Disposition", `attachment; filename="usage.csv"`)
	c.Data(http.StatusOK, "text/csv; charset=utf-8; header=present", text.Bytes())
	return nil
}

// query reads what is asked for, and the cursor as it was sent.
func (u *usageController) query(c *gin.Context) (q domain.UsageQuery, sent string, err error) {
	today := u.now().UTC().Truncate(24 * time.Hour)
	if q.To, err = queryDay(c, "to", today); err != nil {
		return q, "", err
	}
	if q.From, err = queryDay(c, "from", q.To.AddDate(0, 0, -usageDays)); err != nil {
		return q, "", err
	}
	if q.Limit, err = queryLimit(c); err != nil {
		return q, "", err
	}
	if q.TenantID, err = queryTenant(c, u.tenants); err != nil {
		return q, "", err
	}
	sent, ok, err := middleware.Query(c, "cursor")
	if err != nil || !ok || sent == model.StartCursor {
		return q, sent, err
	}
	if q.AfterDay, q.AfterTenant, ok = model.UsagePlace(sent); !ok {
		return q, "", middleware.InvalidQuery("cursor", "must come from an earlier answer, or be 0")
	}
	return q, sent, nil
}

// queryDay returns a day (UTC).
func queryDay(c *gin.Context, name string, unless time.Time) (time.Time, error) {
	text, ok, err := middleware.Query(c, name)
	if err != nil || !ok {
		return unless, err
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil || day.Year() < 1 {
		return time.Time{}, middleware.InvalidQuery(name, "must be a day, such as 2026-11-30")
	}
	return day, nil
}
