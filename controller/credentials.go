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

// credentialService keeps the AMQP credentials of tenants.
type credentialService interface {
	Issue(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error)
	Get(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error)
	Revoke(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error
}

type credentialController struct{ credentials credentialService }

// issue makes the credentials of a tenant, or makes them anew.
//
//	@Summary		Make or rotate the AMQP credentials of a tenant
//	@Description	A user of the message broker for the tenant's own AMQP clients (an API key needs the scope `publish`, too), who may write to the exchange that the answer names, from where everything reaches the tenant's queue, whatever its routing key; and who may do nothing else. There is one for each tenant: calling it again makes another password, and ends the connections that there are. The password is in this answer only. 409 `amqp_not_configured` where the service does not manage users of the broker (`rabbitmq.management_url`), 409 `tenant_inactive`. After a 503 nobody knows which password holds: call it again. Limits of the API, such as `max_backlog` and `publish_rate`, are not the broker's.
//	@ID			issueAmqpCredentials
//	@Tags			amqp-credentials
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"	format(uuid)
//	@Success		201							{object}	model.AMQPCredentials
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/amqp-credentials [post]
//	@x-scope			"manage"
//	@x-portal			"never"
func (k *credentialController) issue(c *gin.Context) error {
	return k.answer(c, http.StatusCreated, k.credentials.Issue)
}

// get returns the credentials of a tenant.
//
//	@Summary		Get the AMQP credentials of a tenant
//	@Description	All but the password, which is not kept. 404 `amqp_credentials_not_found` where there are none.
//	@ID			getAmqpCredentials
//	@Tags			amqp-credentials
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path		string	true	"Id of the tenant"	format(uuid)
//	@Success		200							{object}	model.AMQPCredentials
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/amqp-credentials [get]
//	@x-scope			"manage"
//	@x-portal			"never"
func (k *credentialController) get(c *gin.Context) error {
	return k.answer(c, http.StatusOK, k.credentials.Get)
}

// revoke ends the credentials of a tenant.
//
//	@Summary		Revoke the AMQP credentials of a tenant
//	@Description	Deletes the user, which ends its connections. What it published before is stored. Where the broker cannot be asked the answer is 503, and it goes on by itself. They end with the tenant, too.
//	@ID			revokeAmqpCredentials
//	@Tags			amqp-credentials
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path	string	true	"Id of the tenant"	format(uuid)
//	@Success		204							"The credentials are gone"
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/amqp-credentials [delete]
//	@x-scope			"manage"
//	@x-portal			"never"
func (k *credentialController) revoke(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := k.credentials.Revoke(c.Request.Context(), middleware.Principal(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

func (k *credentialController) answer(
	c *gin.Context, status int, call func(context.Context, domain.Principal, uuid.UUID) (domain.IssuedAMQP, error),
) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	credentials, err := call(c.Request.Context(), middleware.Principal(c), id)
	if err != nil {
		return err
	}
	return writeJSON(c, status, model.FromAMQPCredentials(&credentials))
}
