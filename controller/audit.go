package controller

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// auditService knows what was done.
type auditService interface {
	List(ctx context.Context, p domain.Principal, q domain.AuditQuery) (entries []domain.AuditEntry, more bool, err error)
}

type auditController struct {
	audit   auditService
	tenants tenantDirectory
}

// maxActionLength is how long an action may be that is asked for, in bytes.
const maxActionLength = 100

// list returns a page of the audit log.
//
//	@Summary		Show the audit log
//	@ID			listAuditEntries
//	@Description	Who did what, when, and what it was before and is now, newest first. Admins see all of it, others what was done to tenants that they own and what they did themselves. There are no secrets and no payloads in it. Kept for `audit.keep_days`.
//	@Tags			audit
//	@Security		BearerAuth
//	@Produce		json
//	@Param			tenant_id				query		string	false	"Only what is about this tenant, deleted ones included"	format(uuid)
//	@Param			actor					query		string	false	"Only what this user did, also with its API keys"		format(uuid)
//	@Param			action					query		string	false	"Only this action; with a dot at its end all that begin with it, such as `endpoint.`"
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins at the newest"
//	@Param			limit					query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success		200						{object}	model.AuditPage
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/audit [get]
func (a *auditController) list(c *gin.Context) error {
	var q domain.AuditQuery
	var err error
	if q.TenantID, err = queryTenant(c, a.tenants); err != nil {
		return err
	}
	if q.ActorID, err = queryID(c, "actor"); err != nil {
		return err
	}
	if q.Action, _, err = middleware.Query(c, "action"); err != nil {
		return err
	}
	if len(q.Action) > maxActionLength {
		return middleware.InvalidQuery("action", "must be the name of an action")
	}
	if q.Before, _, err = querySeq(c); err != nil {
		return err
	}
	if q.Limit, err = queryLimit(c); err != nil {
		return err
	}
	entries, more, err := a.audit.List(c.Request.Context(), middleware.Principal(c), q)
	if err != nil {
		return err
	}
	sent, _, err := middleware.Query(c, "cursor")
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromAudit(entries, more, sent))
}

// queryID returns an id that a query parameter may have; zero when it was not sent.
func queryID(c *gin.Context, name string) (uuid.UUID, error) {
	text, ok, err := middleware.Query(c, name)
	if err != nil || !ok {
		return uuid.Nil, err
	}
	id, err := domain.ParseID(text)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, middleware.InvalidQuery(name, "must be a UUID")
	}
	return id, nil
}

// queryTenant returns the tenant that ?tenant_id= names; zero when it was not sent.
func queryTenant(c *gin.Context, tenants tenantDirectory) (uuid.UUID, error) {
	text, _, err := middleware.Query(c, "tenant_id")
	switch {
	case err != nil:
		return uuid.Nil, err
	case !strings.HasPrefix(text, domain.ExternalIDPrefix):
		return queryID(c, "tenant_id")
	}
	name, err := domain.ParseTenantName(text)
	if err != nil {
		return uuid.Nil, err
	}
	t, err := middleware.LookupTenant(c, tenants, name)
	return t.ID, err
}
