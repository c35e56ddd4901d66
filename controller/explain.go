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

// explainService knows why messages stand.
type explainService interface {
	Tenant(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Explanation, error)
	// Message is about a message of a tenant that the caller may access.
	Message(ctx context.Context, p domain.Principal, t domain.Tenant, id uuid.UUID) domain.Explanation
}

type explainController struct {
	explain explainService
}

// tenant says why a tenant's messages stand.
//
//	@Summary		Explain why messages of a tenant are not stored or not delivered
//	@ID			explainTenant
//	@Description	In a sentence and as data, with what would help; `docs/explain.md` has all kinds of causes. It answers while servers are away, too, from what is known. Which session of the database has something locked, and which replica has the consumer, is for admins; who stopped or held something, for those who may read that in the audit log.
//	@Tags			tenants
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success		200						{object}	model.Explanation
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/explain [get]
//	@x-scope			"read"
func (e *explainController) tenant(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	explained, err := e.explain.Tenant(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromExplanation(&explained))
}

// message says where a message is.
//
//	@Summary		Explain where a message is, and why it is not further
//	@ID			explainMessage
//	@Description	Also for a message that is not stored: then it says whether it can be one of those that wait, how many may be before it, and why they wait. For a stored one there is a cause for each endpoint: delivered, due, failed, held, behind another one, not meant for it. `docs/explain.md` has all kinds.
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id						path		string	true	"Id of the message"												format(uuid)
//	@Success		200						{object}	model.MessageExplanation
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/messages/{id}/explain [get]
//	@x-scope			"read"
func (e *explainController) message(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	explained := e.explain.Message(c.Request.Context(), middleware.Principal(c), middleware.Tenant(c), id)
	return writeJSON(c, http.StatusOK, model.FromMessageExplanation(&explained))
}
