package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// attemptService knows what was tried.
type attemptService interface {
	deliveryService

	OfEndpoint(ctx context.Context, p domain.Principal, q domain.AttemptQuery) (attempts []domain.Attempt, more bool, err error)
	Summary(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.AttemptSummary, error)
	OfMessage(ctx context.Context, q domain.AttemptQuery) (attempts []domain.Attempt, more bool, err error)
}

type attemptController struct {
	attempts attemptService
}

// ofEndpoint returns a page of the attempts to deliver to an endpoint.
//
//	@Summary		List attempts to deliver to an endpoint
//	@ID			listEndpointAttempts
//	@Description	Newest first. They are kept for a number of days that is configured, and the beginning of each answer with them.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Param			status					query		string	false	"Only those"			Enums(failed, succeeded)
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins with the newest"
//	@Param			limit					query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success		200						{object}	model.AttemptPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/attempts [get]
//	@x-scope			"read"
func (a *attemptController) ofEndpoint(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	q, err := queryAttempts(c)
	if err != nil {
		return err
	}
	q.TenantID, q.EndpointID = tenantID, id
	attempts, more, err := a.attempts.OfEndpoint(c.Request.Context(), middleware.Principal(c), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromAttempts(attempts, more))
}

// summary returns what came of an endpoint's attempts.
//
//	@Summary		Summarize the attempts of the last hour
//	@ID			summarizeEndpointAttempts
//	@Description	How many there were, how many of them the endpoint took, also at the first attempt of a delivery, and how long they took. The newest 10,000 count; `truncated` says that there were more, and `since` then is when the oldest of these began.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200						{object}	model.AttemptSummary
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/attempts/summary [get]
//	@x-scope			"read"
func (a *attemptController) summary(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	sum, err := a.attempts.Summary(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromAttemptSummary(&sum))
}

// ofMessage returns a page of the attempts to deliver a message.
//
//	@Summary		List attempts to deliver a message
//	@ID			listMessageAttempts
//	@Description	To whatever endpoint, newest first; as long as they are kept also of messages that are not kept any longer.
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id						path		string	true	"Id of the message"												format(uuid)
//	@Param			status					query		string	false	"Only those"													Enums(failed, succeeded)
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins with the newest"
//	@Param			limit					query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success		200						{object}	model.AttemptPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/messages/{id}/attempts [get]
//	@x-scope			"read"
func (a *attemptController) ofMessage(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	q, err := queryAttempts(c)
	if err != nil {
		return err
	}
	q.TenantID, q.MessageID = middleware.Tenant(c).ID, id
	attempts, more, err := a.attempts.OfMessage(c.Request.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromAttempts(attempts, more))
}

// queryAttempts returns which attempts the query asks for.
func queryAttempts(c *gin.Context) (q domain.AttemptQuery, err error) {
	if q.Limit, err = queryLimit(c); err != nil {
		return q, err
	}
	status, ok, err := middleware.Query(c, "status")
	switch {
	case err != nil:
		return q, err
	case ok && status != "failed" && status != "succeeded":
		return q, middleware.InvalidQuery("status", `must be "failed" or "succeeded"`)
	}
	q.Failed, q.Succeeded = status == "failed", status == "succeeded"
	cursor, ok, err := middleware.Query(c, "cursor")
	if err != nil || !ok {
		return q, err
	}
	if q.BeforeAt, q.BeforeID, ok = model.ParseAttemptCursor(cursor); !ok {
		return q, middleware.InvalidQuery("cursor", "must come from an earlier answer, or be 0")
	}
	return q, nil
}
