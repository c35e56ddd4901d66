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

// apiKeyService keeps the API keys of a tenant or, where that is zero, of the caller.
type apiKeyService interface {
	// Create returns the key, and the text of it that has its secret.
	Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, n domain.NewAPIKey) (domain.APIKey, string, error)
	List(ctx context.Context, p domain.Principal, tenantID uuid.UUID) ([]domain.APIKey, error)
	Revoke(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) error
}

type apiKeyController struct {
	keys apiKeyService
}

// createOwn makes a key of the caller.
//
//	@Summary		Create an API key of your own
//	@ID			createApiKey
//	@Description	For machines: the key goes into `Authorization`, with or without `Bearer `, and is in this answer only. It may do what you may, in the tenants that you created and the one that you belong to, as far as its scopes say: `publish`, `read`, `manage` (change tenants, workers, consumers and endpoints, replay and purge dead letters) and `provision` (create and delete tenants). No key manages users or keys, and none has what only admins have. It ends when it is revoked or expires and when you are deleted, and narrows when your role does. You may have 100: beyond that 429 `quota_exceeded`. A key has the form `\blk_[0-9a-f]{32}_[0-9a-f]{72}\b`; its last 8 digits are the CRC-32 of what is before them.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			body											body		model.CreateAPIKey	true	"The key"
//	@Success		201												{object}	model.APIKey
//	@Failure		400,401,403,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/api-keys [post]
func (k *apiKeyController) createOwn(c *gin.Context) error { return k.create(c, uuid.Nil) }

// createOfTenant makes a key of a tenant.
//
//	@Summary		Create an API key of a tenant
//	@ID			createTenantApiKey
//	@Description	As POST /api-keys, for this tenant alone: `publish`, `read` and `manage`. Whoever manages the tenant makes it; it belongs to the owner of the tenant, with whom it ends, and may do what that owner may. A tenant may have 100: beyond that 429 `quota_exceeded`.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id													path		string				true	"Id of the tenant"	format(uuid)
//	@Param			body												body		model.CreateAPIKey	true	"The key"
//	@Success		201													{object}	model.APIKey
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/api-keys [post]
func (k *apiKeyController) createOfTenant(c *gin.Context) error { return k.ofTenant(c, k.create) }

// listOwn returns the keys of the caller.
//
//	@Summary		List your API keys
//	@ID			listApiKeys
//	@Description	Oldest first. The keys themselves are not kept, and not shown.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Produce		json
//	@Success		200				{object}	model.APIKeyList
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/api-keys [get]
func (k *apiKeyController) listOwn(c *gin.Context) error { return k.list(c, uuid.Nil) }

// listOfTenant returns the keys of a tenant.
//
//	@Summary		List the API keys of a tenant
//	@ID			listTenantApiKeys
//	@Description	Oldest first. The keys themselves are not kept, and not shown.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"	format(uuid)
//	@Success		200						{object}	model.APIKeyList
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/api-keys [get]
func (k *apiKeyController) listOfTenant(c *gin.Context) error { return k.ofTenant(c, k.list) }

// revokeOwn revokes a key of the caller.
//
//	@Summary		Revoke an API key of your own
//	@ID			revokeApiKey
//	@Description	Calls with it are refused, and streams that it opened end, within 5 seconds on every replica. An admin may revoke anybody's keys.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Produce		json
//	@Param			key_id					path	string	true	"Id of the key"	format(uuid)
//	@Success		204						"The key is gone"
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/api-keys/{key_id} [delete]
func (k *apiKeyController) revokeOwn(c *gin.Context) error { return k.revoke(c, uuid.Nil) }

// revokeOfTenant revokes a key of a tenant.
//
//	@Summary		Revoke an API key of a tenant
//	@ID			revokeTenantApiKey
//	@Description	Calls with it are refused, and streams that it opened end, within 5 seconds on every replica.
//	@Tags			api-keys
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path	string	true	"Id of the tenant"	format(uuid)
//	@Param			key_id					path	string	true	"Id of the key"		format(uuid)
//	@Success		204						"The key is gone"
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/api-keys/{key_id} [delete]
func (k *apiKeyController) revokeOfTenant(c *gin.Context) error { return k.ofTenant(c, k.revoke) }

// ofTenant makes a call for the tenant in the path.
func (k *apiKeyController) ofTenant(c *gin.Context, call func(*gin.Context, uuid.UUID) error) error {
	tenantID, err := pathID(c)
	if err != nil {
		return err
	}
	return call(c, tenantID)
}

func (k *apiKeyController) create(c *gin.Context, tenantID uuid.UUID) error {
	var body model.CreateAPIKey
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	key, text, err := k.keys.Create(c.Request.Context(), middleware.Principal(c), tenantID, wanted)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, model.FromAPIKey(&key, text))
}

func (k *apiKeyController) list(c *gin.Context, tenantID uuid.UUID) error {
	keys, err := k.keys.List(c.Request.Context(), middleware.Principal(c), tenantID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromAPIKeys(keys))
}

func (k *apiKeyController) revoke(c *gin.Context, tenantID uuid.UUID) error {
	id, err := domain.ParseID(c.Param("key_id"))
	if err != nil {
		return err
	}
	if err := k.keys.Revoke(c.Request.Context(), middleware.Principal(c), tenantID, id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
