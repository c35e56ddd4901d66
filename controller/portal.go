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

// portalLinkService makes and ends portal links.
type portalLinkService interface {
	// Create returns the link, and its token.
	Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, n domain.NewPortalLink) (domain.PortalLink, string, error)
	Revoke(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error
}

type portalController struct {
	links portalLinkService
	look  model.Branding
	url   string // of the service
}

// branding returns how the console looks to who came with a portal link.
//
//	@Summary		Get the branding of the portal
//	@ID			getPortal
//	@Description	What the console shows to who came with a portal link, as it is configured: `portal.name`, `portal.color` and `portal.logo`.
//	@Tags			portal
//	@Produce		json
//	@Success		200	{object}	model.Branding
//	@Failure		500	{object}	model.Problem
//	@Router			/portal [get]
func (p *portalController) branding(c *gin.Context) error {
	return writeJSON(c, http.StatusOK, p.look)
}

// createLink makes a portal link.
//
//	@Summary		Create a portal link
//	@ID			createPortalLink
//	@Description	For your product: a link to the pages of the console that are about this tenant, which whoever opens it sees without logging in. Put it into an `iframe` (`portal.frame_ancestors` names the origins that may), or open it. It may do what the caller may, within `scopes`, for this tenant alone, and neither rename the tenant nor make links, keys, tickets or AMQP credentials. It ends after `ttl`, with all others of the tenant (DELETE), with the tenant, and with who made it: an API key that is revoked, a user that is deleted, disabled or changed, or logs out; within 5 seconds on every replica. Links are not kept: make one whenever a page is opened. An empty object, or no body, makes one that reads, for an hour.
//	@Tags			portal
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id												path		string					true	"Id of the tenant"	format(uuid)
//	@Param			body											body		model.CreatePortalLink	false	"The link"
//	@Success		201												{object}	model.PortalLink
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/portal-links [post]
//	@x-scope			"read"
//	@x-portal			"never"
func (p *portalController) createLink(c *gin.Context) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	var body model.CreatePortalLink
	if c.Request.ContentLength != 0 {
		if _, err := readObject(c, &body); err != nil {
			return err
		}
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	link, token, err := p.links.Create(c.Request.Context(), middleware.Principal(c), tenantID, wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, model.FromPortalLink(&link, p.url, token))
}

// revokeLinks ends the portal links of a tenant.
//
//	@Summary		Revoke the portal links of a tenant
//	@ID			revokePortalLinks
//	@Description	All that were made until now, by whomever: pages that are open with them, and their streams, are refused within 5 seconds on every replica.
//	@Tags			portal
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path	string	true	"Id of the tenant"	format(uuid)
//	@Success		204						"They have ended"
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/portal-links [delete]
//	@x-scope			"manage"
//	@x-portal			"never"
func (p *portalController) revokeLinks(c *gin.Context) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	if err := p.links.Revoke(c.Request.Context(), middleware.Principal(c), tenantID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
